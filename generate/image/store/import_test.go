package store

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

const good = `{"image_name": "medianode/asr", "image_tag": "1f2e", "image_id": "sha256:1", "size_bytes": 12,
	"last_used": "2026-01-31T13:00:00+01:00", "created_at": "2025-01-31 12:00:00", "last_pulled": null,
	"build_config": {"args": {"A": "1"}}, "dependencies": "[\"numpy\"]", "status": "available"}`

func TestImport(t *testing.T) {
	second := strings.NewReplacer("medianode/asr", "localhost:5000/tts", "2026-01-31T13", "2027-01-31T13").Replace(good)
	bare := `{"image_id": "sha256:1", "status": "available", "last_used": "2027-01-31T13:00:00Z"}`
	for name, c := range map[string]struct {
		text, want string
	}{
		"array":         {"[" + second + "," + good + "]", "localhost:5000/tts medianode/asr"},
		"object":        {`{"localhost:5000/tts:1": ` + bare + `, "medianode/asr:1f2e": ` + good + `}`, "localhost:5000/tts medianode/asr"},
		"images array":  {`{"images": [` + good + `]}`, "medianode/asr"},
		"images object": {`{"images": {"a:1": ` + bare + `}}`, "a"},
		"none":          {"[]", ""},
		"no object":     {" {} \n", ""},
		"failed":        {`[{"image_name": "a", "image_tag": "1", "status": "failed", "error_message": "no space"}]`, "a"},
	} {
		t.Run(name, func(t *testing.T) {
			s := openTest(t, temporary(t), testOptions())
			n, err := s.Import(t.Context(), []byte(c.text), "engine")
			if got := names(t, s); err != nil || got != c.want || n != len(strings.Fields(c.want)) {
				t.Fatalf("%d, %q, want %q: %v", n, got, c.want, err)
			}
			if name != "array" {
				return
			}
			got := get(t, s, Ref{"medianode/asr", "1f2e"})[Ref{"medianode/asr", "1f2e"}]
			want := Row{
				Name: "medianode/asr", Tag: "1f2e", ImageID: "sha256:1", Size: 12, LastUsed: noon(), Created: noon().AddDate(-1, 0, 0),
				BuildConfig: `{"args": {"A": "1"}}`, Dependencies: `["numpy"]`, Status: Available, EngineID: "engine",
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("got  %+v\nwant %+v", got, want)
			}
		})
	}
}

func TestImportCountsWhatIsNew(t *testing.T) {
	s := openTest(t, temporary(t), testOptions())
	known := Row{Name: "medianode/asr", Tag: "1f2e", ImageID: "sha256:known", Status: Available, EngineID: "engine"}
	if err := s.Put(t.Context(), known); err != nil {
		t.Fatal(err)
	}
	ref := known.Ref()
	before := get(t, s, ref)[ref]
	text := "[" + good + "," + strings.Replace(good, "medianode/asr", "b", 1) + "," + strings.Replace(good, "medianode/asr", "c", 1) + "]"
	for _, want := range []int{2, 0} {
		if n, err := s.Import(t.Context(), []byte(text), "engine"); n != want || err != nil {
			t.Errorf("%d, %v, want %d", n, err, want)
		}
	}
	if after := get(t, s, ref)[ref]; !reflect.DeepEqual(after, before) {
		t.Errorf("known before %+v\nafter        %+v", before, after)
	}
}

func TestImportMistakes(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{``, `line 1, byte 0: no JSON: it ends too early`},
		{"[\n{\"a\" 1}]", `line 2, byte 6: no JSON: invalid character '1' after object key`},
		{`[] []`, `something follows the JSON value: want one`},
		{`7`, importShape},
		{`null`, importShape},
		{`{"images": 7}`, importShape},
		{`{"images": [], "other": 1}`, `"other" beside "images": ` + importShape},
		{`[7, null, []]`, "[0]: want an object with the fields of an image\n[1]: want an object with the fields of an image\n[2]: want an object with the fields of an image"},
		{`{"asr": {}}`, "[\"asr\"]: want a key \"name:tag\""},
		{`{"asr:1": {"image_tag": "2", "status": "failed"}}`, `["asr:1"].image_tag: "2", and the key says "1": want the same, or leave the field out`},
		{`[` + good + `,` + good + `]`, `[1]: the image medianode/asr:1f2e is already at [0]: want each once`},
		{`[{}]`, "[0].image_name: missing: want the name of the image\n[0].image_tag: missing: want the tag of the image\n[0].status: missing: want available or failed\n[0].image_id: missing: want the engine's id of the image, sha256:…"},
		{`[{"image_name": 1, "image_tag": "a\u0000", "image_id": "x", "size_bytes": -1, "created_at": "yesterday", "last_used": 5, "build_config": "{", "status": "gone"}]`,
			"[0].build_config: want JSON, as a value or in a string\n" +
				"[0].created_at: \"yesterday\": want a time such as \"2026-01-31T12:00:00Z\"\n" +
				"[0].image_name: want a string\n" +
				"[0].image_tag: want a string without a zero byte\n" +
				"[0].last_used: want a time such as \"2026-01-31T12:00:00Z\"\n" +
				"[0].size_bytes: want a number of bytes\n" +
				"[0].status: \"gone\": want available or failed"},
		{`[{"image_name": "a", "image_tag": "1", "image_id": "x", "status": "building"}]`, "[0].status: building: nobody here builds it; leave the image out"},
		{`[{"image_name": "a", "image_tag": "1", "image_id": "x", "status": "available", "size_bites": 1}]`, "[0].size_bites: unknown field: want one of base_digest, base_image, build_config, created_at,"},
	} {
		s := openTest(t, temporary(t), testOptions())
		n, err := s.Import(t.Context(), []byte(c.text), "engine")
		if err == nil || n != 0 || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%s:\ngot  %v\nwant %s", c.text, err, c.want)
		}
		if got := names(t, s); got != "" {
			t.Errorf("%s: imported %q", c.text, got)
		}
	}
}

// What is accepted is in the table as it was read, and can be written as JSON
// and read again.
func FuzzImport(f *testing.F) {
	for _, text := range []string{"[" + good + "]", `{"images": {"a:1": {"image_id": "x", "status": "available"}}}`, `[{"image_name":"\u0000"}]`, `{"a:1":{"status":"failed","build_config":"null","last_used":"0000-01-01T00:00:00Z"}}`, `[`, `{}`} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		rows, err := parseImport(data)
		if err != nil {
			if strings.TrimSpace(err.Error()) == "" {
				t.Error("an error without words")
			}
			return
		}
		opt := testOptions()
		opt.now = noon
		s := &Store{path: "memory", opt: opt, turn: make(chan struct{}, 1), memory: true}
		defer s.Close()
		put(t, s, rows...)
		list, err := s.List(t.Context())
		if err != nil || len(list) != len(rows) {
			t.Fatalf("%d rows of %d: %v", len(list), len(rows), err)
		}
		for i, row := range list {
			want := rows[len(rows)-1-i]
			want.Used = row.Used
			if want.Created.IsZero() {
				want.Created = noon()
			}
			if want.LastUsed.IsZero() {
				want.LastUsed = noon()
			}
			if !reflect.DeepEqual(row, want) {
				t.Errorf("got  %+v\nwant %+v", row, want)
			}
		}
		again, err := parseImport(export(t, rows))
		if err != nil || len(again) != len(rows) {
			t.Fatalf("written and read again: %d rows: %v", len(again), err)
		}
		for i := range rows {
			if !reflect.DeepEqual(again[i], rows[i]) {
				t.Errorf("again %+v\nwas   %+v", again[i], rows[i])
			}
		}
	})
}

// export is rows as a file that can be imported.
func export(t *testing.T, rows []Row) []byte {
	t.Helper()
	objects := []map[string]any{}
	for _, r := range rows {
		o := map[string]any{
			"image_name": r.Name, "image_tag": r.Tag, "image_id": r.ImageID, "digest": r.Digest, "size_bytes": r.Size,
			"build_config": r.BuildConfig, "dependencies": r.Dependencies, "python_version": r.PythonVersion, "base_image": r.BaseImage,
			"status": r.Status, "error_message": r.Error, "key": r.Key, "platform": r.Platform, "engine_id": r.EngineID,
			"iceoryx2": r.Iceoryx2, "base_digest": r.BaseDigest,
		}
		for field, at := range map[string]string{"created_at": timeText(r.Created), "last_pulled": timeText(r.LastPulled), "last_used": timeText(r.LastUsed)} {
			if at != "" {
				o[field] = at
			}
		}
		objects = append(objects, o)
	}
	data, err := json.Marshal(objects)
	if err != nil {
		t.Fatal(err)
	}
	return data
}
