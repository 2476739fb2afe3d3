package runtime

import (
	"bytes"
	"flag"
	"os"
	"testing"
	"time"
	"unsafe"

	"github.com/medianode/docker-medianode/runtime/channel"
	"github.com/medianode/docker-medianode/runtime/node"
)

// update is -update, write golden files. A library that compose brings along
// may have defined it already.
func update() bool {
	f := flag.Lookup("update")
	return f != nil && f.Value.String() == "true"
}

func TestMain(m *testing.M) {
	if flag.Lookup("update") == nil {
		flag.Bool("update", false, "write golden files")
	}
	os.Exit(m.Run())
}

func TestReportText(t *testing.T) {
	zero, killed := 0, 137
	sequence := uint64(7)
	r := Report{
		Project: "captions", Session: "main", State: "failed", Started: time.Unix(0, 0), StartupS: 1.234, RunS: 61,
		Warnings: []string{"node speech: log: gone"},
		Nodes: []NodeReport{
			{Node: "speech", State: StateExited},
			{Node: "asr", Container: true, State: StateFailed, ExitCode: &killed, OOM: true, CPUS: 12.34, MemoryPeak: 512 << 20, Unread: map[string]uint64{"words": 12, "spare": 3}, Metrics: []channel.Metric{
				{Name: "words", Kind: "counter", Value: 1234},
				{Name: "confidence", Kind: "gauge", Value: 0.8725},
				{Name: "decode_s", Kind: "histogram", Count: 9, Sum: 4.5, Min: 0.1, Max: 1.25, P50: 0.5, P99: 1.2},
			}},
			{Node: "slow", Container: true, State: StateExited, ExitCode: &killed, Forced: true},
			{Node: "fine", Container: true, State: StateExited, ExitCode: &zero, CPUS: 0.04, MemoryPeak: 1},
			{Node: "captions", State: StateFailed, Files: []node.File{{Path: "captions.txt.partial", Bytes: 2048, Frames: 9}, {Path: "log.txt", Complete: true}}},
		},
		Connections: []ConnectionReport{
			{From: "speech.output", To: "asr.input", Frames: 1000, Bytes: 640000, Rate: 16.4, P50: 12_345, P99: 1_234_567},
			{From: "asr.text", To: "captions.input", Frames: 9, Bytes: 123, Dropped: 4, Rate: 0.1, P50: 900, P99: 2_500_000_000},
			{From: "asr.text", To: "slow.input"},
		},
		Error: &NodeError{Node: "asr", Phase: "process", Message: "ValueError: no", Port: "input", Sequence: &sequence},
	}
	var got bytes.Buffer
	if err := r.Text(&got); err != nil {
		t.Fatal(err)
	}
	const golden = "testdata/report.txt"
	if update() {
		if err := os.WriteFile(golden, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.Bytes(), want) {
		t.Errorf("got:\n%s\nwant:\n%s", got.Bytes(), want)
	}
}

func TestSizes(t *testing.T) {
	for n, want := range map[uint64]string{0: "0 B", 1023: "1023 B", 1024: "1 KiB", 1536: "1.5 KiB", 1 << 30: "1 GiB"} {
		if got := size(n); got != want {
			t.Errorf("size(%d) = %q, want %q", n, got, want)
		}
	}
}

// Frames that waited when a session was cut off are lost, and counted: sent is
// received and dropped, whatever has happened.
func TestCutOffIsCounted(t *testing.T) {
	mem := make([]uint64, channel.LedgerSize(2)/8)
	l, err := channel.NewLedger(unsafe.Slice((*byte)(unsafe.Pointer(&mem[0])), len(mem)*8), 2)
	if err != nil {
		t.Fatal(err)
	}
	l.Next().Store(101)
	l.Ended().Store(channel.EndedFailed) // the last of the 101 is the end
	reader := l.Slot(0)
	reader.State().Store(channel.Attached)
	reader.Received().Store(90)
	reader.Dropped().Store(2)
	n := channel.Node{ID: "n", Inputs: []channel.Input{{Port: "input", Slot: 0}, {Port: "never", Slot: 1}}}
	for _, cutOff := range []bool{false, true} {
		got := connections(n, func(channel.Spec) *channel.Ledger { return l }, time.Second, cutOff)
		want := uint64(2)
		if cutOff {
			want = 10
		}
		if got[0].Dropped != want || got[0].Frames != 90 || got[1].Dropped != 0 {
			t.Errorf("cut off %t: %+v", cutOff, got)
		}
	}
}
