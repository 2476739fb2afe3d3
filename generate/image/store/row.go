package store

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Status is what is known of an image.
type Status string

// The states of an image.
const (
	Available Status = "available"
	Building  Status = "building"
	Failed    Status = "failed"
)

func (s Status) valid() bool { return s == Available || s == Building || s == Failed }

// Ref names an image: a row of the cache.
type Ref struct{ Name, Tag string }

func (r Ref) String() string { return r.Name + ":" + r.Tag }

// Row is what the cache knows of an image. Times are kept in UTC and to the
// millisecond; the zero time is none.
type Row struct {
	Name, Tag string
	ImageID   string // the engine's id; empty when there is no image
	Digest    string // of the manifest
	Size      int64  // bytes
	Created   time.Time
	// LastPulled and LastUsed are for people; what is evicted first is
	// decided by Used.
	LastPulled, LastUsed time.Time

	BuildConfig   string // JSON
	Dependencies  string // JSON
	PythonVersion string
	BaseImage     string
	Status        Status
	Error         string // why it failed

	Key        string // the whole hash of the recipe
	Platform   string
	EngineID   string // whose image store has it
	Iceoryx2   string // version in the image
	BaseDigest string // what BaseImage was when it was built on
	Holder     string // who builds it, for people

	Used   int64    // sequence of the last use, higher is later; given by Put and Touch
	UsedBy []string // "project/node", the latest first; filled in by List alone
}

// Ref is the name of the row.
func (r Row) Ref() Ref { return Ref{r.Name, r.Tag} }

// timeLayout is read by SQLite's own date functions too, and sorts as text.
const timeLayout = "2006-01-02 15:04:05.000"

// columns are what a row is made of, in the order of texts. All are read as
// text: then a damaged database cannot make reading fail by a type, and the
// sum is over what is really there.
const (
	columns = `image_name, image_tag, image_id, digest, size_bytes, created_at, last_pulled, last_used,
		build_config, dependencies, python_version, base_image, status, error_message,
		key, platform, engine_id, iceoryx2, base_digest, holder, used, sum`
	selected = `SELECT coalesce(image_name,''), coalesce(image_tag,''), coalesce(image_id,''), coalesce(digest,''),
		coalesce(size_bytes,''), coalesce(created_at,''), coalesce(last_pulled,''), coalesce(last_used,''),
		coalesce(build_config,''), coalesce(dependencies,''), coalesce(python_version,''), coalesce(base_image,''),
		coalesce(status,''), coalesce(error_message,''), coalesce(key,''), coalesce(platform,''), coalesce(engine_id,''),
		coalesce(iceoryx2,''), coalesce(base_digest,''), coalesce(holder,''), coalesce(used,''), coalesce(sum,'')
		FROM image_metadata `
	insert = `INSERT INTO image_metadata (` + columns + `)
		VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22)`
	upsert = insert + `
		ON CONFLICT(image_name, image_tag) DO UPDATE SET
		image_id = ?3, digest = ?4, size_bytes = ?5, created_at = ?6, last_pulled = ?7, last_used = ?8,
		build_config = ?9, dependencies = ?10, python_version = ?11, base_image = ?12, status = ?13,
		error_message = ?14, key = ?15, platform = ?16, engine_id = ?17, iceoryx2 = ?18, base_digest = ?19,
		holder = ?20, used = ?21, sum = ?22`
)

// Places of columns that are not plain text, and how many there are.
const (
	colSize, colCreated, colPulled, colLastUsed = 4, 5, 6, 7
	colUsed, colSum, colCount                   = 20, 21, 22
)

// texts is a row as the database has it, without its sum.
func (r *Row) texts() []string {
	return []string{
		r.Name, r.Tag, r.ImageID, r.Digest, strconv.FormatInt(r.Size, 10),
		timeText(r.Created), timeText(r.LastPulled), timeText(r.LastUsed),
		r.BuildConfig, r.Dependencies, r.PythonVersion, r.BaseImage, string(r.Status), r.Error,
		r.Key, r.Platform, r.EngineID, r.Iceoryx2, r.BaseDigest, r.Holder, strconv.FormatInt(r.Used, 10),
	}
}

// values are what a statement binds: no text is NULL where the schema allows.
func (r *Row) values() []any {
	texts := r.texts()
	values := make([]any, 0, colCount)
	for i, text := range texts {
		switch {
		case i == colSize:
			values = append(values, r.Size)
		case i == colUsed:
			values = append(values, r.Used)
		case text == "" && i > 2 && i != 12:
			values = append(values, nil)
		default:
			values = append(values, text)
		}
	}
	return append(values, sum(texts))
}

// rowOf reads a row; false is a damaged one.
func rowOf(texts []string) (Row, bool) {
	if sum(texts[:colSum]) != texts[colSum] {
		return Row{}, false
	}
	r := Row{
		Name: texts[0], Tag: texts[1], ImageID: texts[2], Digest: texts[3],
		BuildConfig: texts[8], Dependencies: texts[9], PythonVersion: texts[10], BaseImage: texts[11],
		Status: Status(texts[12]), Error: texts[13],
		Key: texts[14], Platform: texts[15], EngineID: texts[16], Iceoryx2: texts[17], BaseDigest: texts[18], Holder: texts[19],
	}
	var errs [5]error
	r.Size, errs[0] = parseInt(texts[colSize])
	r.Used, errs[1] = parseInt(texts[colUsed])
	r.Created, errs[2] = parseTime(texts[colCreated])
	r.LastPulled, errs[3] = parseTime(texts[colPulled])
	r.LastUsed, errs[4] = parseTime(texts[colLastUsed])
	good := r.Status.valid() && !slices.ContainsFunc(errs[:], func(err error) bool { return err != nil })
	return r, good
}

// sum is over the texts and where each ends. A byte that was flipped on the
// disk is rarely noticed by SQLite when it lies in a value.
func sum(texts []string) string {
	size := 0
	for _, text := range texts {
		size += 8 + len(text)
	}
	all := make([]byte, 0, size)
	for _, text := range texts {
		all = binary.LittleEndian.AppendUint64(all, uint64(len(text)))
		all = append(all, text...)
	}
	hash := sha256.Sum256(all)
	return hex.EncodeToString(hash[:16])
}

func timeText(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(timeLayout)
}

// parseTime reads what timeText and SQLite's CURRENT_TIMESTAMP write.
func parseTime(text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	return time.Parse(time.DateTime, text) // a fraction is accepted
}

func parseInt(text string) (int64, error) {
	if text == "" {
		return 0, nil
	}
	return strconv.ParseInt(text, 10, 64)
}

// check finds what must not get into the table.
func (r *Row) check() error {
	switch {
	case r.Name == "" || r.Tag == "":
		return fmt.Errorf("image %q: want a name and a tag", r.Ref())
	case !r.Status.valid():
		return fmt.Errorf("image %s: status %q: want available, building or failed", r.Ref(), r.Status)
	case r.Status == Available && r.ImageID == "":
		return fmt.Errorf("image %s: available without an image id", r.Ref())
	}
	for _, t := range []time.Time{r.Created, r.LastPulled, r.LastUsed} {
		if y := t.UTC().Year(); y > 9999 || y < 1 {
			return fmt.Errorf("image %s: the year %d: want 1 to 9999", r.Ref(), y)
		}
	}
	for _, text := range r.texts() {
		if strings.ContainsRune(text, 0) || !utf8.ValidString(text) {
			return fmt.Errorf("image %q: a value with a zero byte, or that is not UTF-8", r.Ref())
		}
	}
	return nil
}
