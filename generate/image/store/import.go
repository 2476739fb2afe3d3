package store

import (
	"bytes"
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
)

// ImportError is one mistake of a file that was to be imported.
type ImportError struct {
	Where string // "[2]", or `["asr:1f2e"]`; empty for the file as a whole
	Field string // may be empty
	Why   string // what is wrong and what to write
}

// Error is one line.
func (e *ImportError) Error() string {
	where := e.Where
	if e.Field != "" {
		where += "." + e.Field
	}
	if where == "" {
		return e.Why
	}
	return where + ": " + e.Why
}

// Import adds images from JSON: an array of objects whose fields are the
// table's columns, an object of such objects by "name:tag", or {"images": …}
// around either. It is all or nothing: every mistake is one ImportError of the
// joined error. What is known already stays as it is; what is new counts as never
// used here, and as an image of the engine with this id if it names none. It
// gives the number of new images.
func (s *Store) Import(ctx context.Context, data []byte, engineID string) (added int, err error) {
	rows, err := parseImport(data)
	if err != nil {
		return 0, err
	}
	for i := range rows {
		if rows[i].EngineID == "" {
			rows[i].EngineID = engineID
		}
	}
	err = s.write(ctx, func(tx *sql.Tx) error {
		added = 0 // it may be tried again
		add, err := tx.PrepareContext(ctx, insert+" ON CONFLICT DO NOTHING")
		if err != nil {
			return err
		}
		defer add.Close()
		for i := range rows {
			done, err := add.ExecContext(ctx, rows[i].values()...)
			if err != nil {
				return err
			}
			n, err := done.RowsAffected()
			if err != nil {
				return err
			}
			added += int(n)
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	return added, nil
}

// entry is an object of the file and the way to it.
type entry struct {
	where  string
	ref    string // its key, "name:tag"; empty in an array
	fields map[string]json.RawMessage
}

func parseImport(data []byte) ([]Row, error) {
	entries, err := importEntries(data)
	if err != nil {
		return nil, err
	}
	var (
		rows  []Row
		errs  []error
		first = map[Ref]string{}
	)
	for _, e := range entries {
		row, bad := e.row()
		for _, b := range bad {
			b.Where = e.where
			errs = append(errs, b)
		}
		if before, ok := first[row.Ref()]; ok && len(bad) == 0 {
			errs = append(errs, &ImportError{e.where, "", fmt.Sprintf("the image %s is already at %s: want each once", row.Ref(), before)})
		}
		first[row.Ref()] = e.where
		rows = append(rows, row)
	}
	slices.SortStableFunc(rows, func(a, b Row) int {
		return cmp.Or(lastSeen(a).Compare(lastSeen(b)), strings.Compare(a.Ref().String(), b.Ref().String()))
	})
	return rows, errors.Join(errs...)
}

func lastSeen(r Row) time.Time {
	if r.LastUsed.IsZero() {
		return r.Created
	}
	return r.LastUsed
}

const importShape = `want an array of images, an object of images by "name:tag", or {"images": …} around either`

func importEntries(data []byte) ([]entry, error) {
	var whole json.RawMessage
	if err := decode(data, &whole); err != nil {
		return nil, err
	}
	var object map[string]json.RawMessage
	if json.Unmarshal(whole, &object) == nil {
		if inner, ok := object["images"]; ok {
			for _, key := range slices.Sorted(maps.Keys(object)) {
				if key != "images" {
					return nil, &ImportError{"", "", fmt.Sprintf("%q beside \"images\": %s", key, importShape)}
				}
			}
			whole = inner
		}
	}
	var list []json.RawMessage
	object = nil
	switch trimmed := bytes.TrimSpace(whole); {
	case bytes.HasPrefix(trimmed, []byte("[")):
		if err := json.Unmarshal(trimmed, &list); err != nil {
			return nil, &ImportError{"", "", err.Error()}
		}
	case bytes.HasPrefix(trimmed, []byte("{")):
		if err := json.Unmarshal(trimmed, &object); err != nil {
			return nil, &ImportError{"", "", err.Error()}
		}
	default:
		return nil, &ImportError{"", "", importShape}
	}
	var (
		entries []entry
		errs    []error
	)
	add := func(where, ref string, raw json.RawMessage) {
		e := entry{where: where, ref: ref}
		if err := json.Unmarshal(raw, &e.fields); err != nil || e.fields == nil {
			errs = append(errs, &ImportError{where, "", "want an object with the fields of an image"})
		}
		entries = append(entries, e)
	}
	for i, raw := range list {
		add(fmt.Sprintf("[%d]", i), "", raw)
	}
	for _, key := range slices.Sorted(maps.Keys(object)) {
		add(fmt.Sprintf("[%q]", key), key, object[key])
	}
	return entries, errors.Join(errs...)
}

// decode reads one JSON value, and says where it is none.
func decode(data []byte, into any) error {
	decoder := json.NewDecoder(bytes.NewReader(data))
	err := decoder.Decode(into)
	if err == nil {
		if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
			return &ImportError{"", "", "something follows the JSON value: want one"}
		}
		return nil
	}
	at := int64(len(data))
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		at = min(syntax.Offset, at)
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = errors.New("it ends too early")
	}
	before := data[:at]
	line := bytes.Count(before, []byte("\n")) + 1
	return &ImportError{fmt.Sprintf("line %d, byte %d", line, len(before)-bytes.LastIndexByte(before, '\n')-1), "", "no JSON: " + err.Error()}
}

// row reads the fields. Each mistake names its field.
func (e entry) row() (Row, []*ImportError) {
	var (
		row Row
		bad []*ImportError
	)
	mistake := func(field, why string) { bad = append(bad, &ImportError{Field: field, Why: why}) }
	known := row.fields()
	for _, name := range slices.Sorted(maps.Keys(e.fields)) {
		set, ok := known[name]
		if !ok {
			mistake(name, "unknown field: want one of "+strings.Join(slices.Sorted(maps.Keys(known)), ", "))
			continue
		}
		if raw := e.fields[name]; string(raw) != "null" {
			if err := set(raw); err != nil {
				mistake(name, err.Error())
			}
		}
	}
	if e.ref != "" {
		// A name may have a port and so a colon, a tag has none.
		i := strings.LastIndexByte(e.ref, ':')
		if i < 0 || strings.Contains(e.ref[i:], "/") {
			mistake("", "want a key \"name:tag\"")
			return row, bad
		}
		for _, part := range []struct {
			field string
			is    *string
			want  string
		}{{"image_name", &row.Name, e.ref[:i]}, {"image_tag", &row.Tag, e.ref[i+1:]}} {
			if *part.is == "" {
				*part.is = part.want
			}
			if *part.is != part.want {
				mistake(part.field, fmt.Sprintf("%q, and the key says %q: want the same, or leave the field out", *part.is, part.want))
			}
		}
	}
	return row, append(bad, missing(row, bad)...)
}

// missing finds what an image must have, where that is not wrong already.
func missing(row Row, bad []*ImportError) []*ImportError {
	var more []*ImportError
	require := func(field string, ok bool, why string) {
		said := slices.ContainsFunc(bad, func(b *ImportError) bool { return b.Field == field })
		if !ok && !said {
			more = append(more, &ImportError{Field: field, Why: why})
		}
	}
	require("image_name", row.Name != "", "missing: want the name of the image")
	require("image_tag", row.Tag != "", "missing: want the tag of the image")
	require("status", row.Status != "", "missing: want available or failed")
	require("image_id", row.ImageID != "" || row.Status == Failed, "missing: want the engine's id of the image, sha256:…")
	if len(bad)+len(more) == 0 {
		if err := row.check(); err != nil {
			more = append(more, &ImportError{Why: err.Error()})
		}
	}
	return more
}

// fields are the columns that can be imported, and how each is read.
func (r *Row) fields() map[string]func(json.RawMessage) error {
	return map[string]func(json.RawMessage) error{
		"image_name": textInto(&r.Name), "image_tag": textInto(&r.Tag),
		"image_id": textInto(&r.ImageID), "digest": textInto(&r.Digest),
		"size_bytes": sizeInto(&r.Size),
		"created_at": timeInto(&r.Created), "last_pulled": timeInto(&r.LastPulled), "last_used": timeInto(&r.LastUsed),
		"build_config": jsonInto(&r.BuildConfig), "dependencies": jsonInto(&r.Dependencies),
		"python_version": textInto(&r.PythonVersion), "base_image": textInto(&r.BaseImage),
		"status": statusInto(&r.Status), "error_message": textInto(&r.Error),
		"key": textInto(&r.Key), "platform": textInto(&r.Platform), "engine_id": textInto(&r.EngineID),
		"iceoryx2": textInto(&r.Iceoryx2), "base_digest": textInto(&r.BaseDigest),
	}
}

func textInto(to *string) func(json.RawMessage) error {
	return func(raw json.RawMessage) error {
		if json.Unmarshal(raw, to) != nil {
			return errors.New("want a string")
		}
		if strings.ContainsRune(*to, 0) {
			return errors.New("want a string without a zero byte")
		}
		return nil
	}
}

func sizeInto(to *int64) func(json.RawMessage) error {
	return func(raw json.RawMessage) error {
		if json.Unmarshal(raw, to) != nil || *to < 0 {
			return errors.New("want a number of bytes")
		}
		return nil
	}
}

func statusInto(to *Status) func(json.RawMessage) error {
	return func(raw json.RawMessage) error {
		if json.Unmarshal(raw, to) != nil || !to.valid() {
			return fmt.Errorf("%s: want available or failed", raw)
		}
		if *to == Building {
			return errors.New("building: nobody here builds it; leave the image out")
		}
		return nil
	}
}

// timeInto reads RFC 3339, and SQLite's own form, which is UTC.
func timeInto(to *time.Time) func(json.RawMessage) error {
	return func(raw json.RawMessage) error {
		var text string
		if json.Unmarshal(raw, &text) != nil {
			return errors.New("want a time such as \"2026-01-31T12:00:00Z\"")
		}
		for _, layout := range []string{time.RFC3339, time.DateTime} {
			if got, err := time.Parse(layout, text); err == nil {
				*to = got.UTC().Truncate(time.Millisecond)
				if y := to.Year(); y < 1 || y > 9999 {
					return fmt.Errorf("the year %d: want 1 to 9999", y)
				}
				return nil
			}
		}
		return fmt.Errorf("%s: want a time such as \"2026-01-31T12:00:00Z\"", raw)
	}
}

// jsonInto reads JSON, as it is or in a string, as the table has it.
func jsonInto(to *string) func(json.RawMessage) error {
	return func(raw json.RawMessage) error {
		var text string
		if json.Unmarshal(raw, &text) == nil {
			if text != "" && !json.Valid([]byte(text)) {
				return errors.New("want JSON, as a value or in a string")
			}
			raw = json.RawMessage(text)
		}
		if strings.ContainsRune(string(raw), 0) {
			return errors.New("want JSON without a zero byte")
		}
		*to = string(raw)
		return nil
	}
}
