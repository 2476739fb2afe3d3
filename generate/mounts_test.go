package generate_test

import (
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/medianode/docker-medianode/generate"
)

// onDisk is a host whose absolute paths are those of this machine, as the
// command line has them.
func onDisk(allowed ...string) generate.Host {
	host := attached()
	host.AllowMount = allowed
	host.RealPath = func(name string) (string, fs.FileMode, error) {
		real, err := filepath.EvalSymlinks(name)
		if err != nil {
			return "", 0, err
		}
		info, err := os.Lstat(real)
		if err != nil {
			return "", 0, err
		}
		return real, info.Mode(), nil
	}
	return host
}

func mounting(name string) string {
	return one(fmt.Sprintf("      volumes: [{host_path: %q, container_path: /x}]\n", name))
}

func realDir(t *testing.T) string {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func symlink(t *testing.T, target, name string) string {
	t.Helper()
	if err := os.Symlink(target, name); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestAllowedMount(t *testing.T) {
	dir := realDir(t)
	if err := os.MkdirAll(filepath.Join(dir, "models", "large"), 0o755); err != nil {
		t.Fatal(err)
	}
	models := filepath.Join(dir, "models")
	inside := symlink(t, filepath.Join("models", "large"), filepath.Join(dir, "link"))
	for name, want := range map[string]string{models: models, models + "/large": models + "/large", inside: models + "/large"} {
		p := must(t, mounting(name), onDisk(models), code())
		volumes := p.Project().Services["a"].Volumes
		if got := volumes[len(volumes)-1]; got.Source != want || !got.ReadOnly || got.Bind == nil || bool(got.Bind.CreateHostPath) {
			t.Errorf("%s: mounts %+v, want %s", name, got, want)
		}
		if !strings.Contains(p.String(), "read-only, outside the project by --allow-mount") {
			t.Errorf("the plan does not show it:\n%s", p)
		}
	}
}

// TestRefusedMounts is threat by threat what no pipeline may mount.
func TestRefusedMounts(t *testing.T) {
	dir := realDir(t)
	for _, name := range []string{"allowed", "allowed2"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	socket, err := (&net.ListenConfig{}).Listen(t.Context(), "unix", filepath.Join(dir, "allowed", "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	fake := filepath.Join(dir, "allowed", "docker.sock.d", "my-docker.sock")
	if err := os.MkdirAll(fake, 0o755); err != nil {
		t.Fatal(err)
	}
	leaves := symlink(t, dir, filepath.Join(dir, "allowed", "leaves"))
	toEtc := symlink(t, "/etc", filepath.Join(dir, "allowed", "etc"))
	toProc := symlink(t, "/proc", filepath.Join(dir, "allowed", "proc"))
	toRoot := symlink(t, "/", filepath.Join(dir, "allowed", "root"))
	toSocket := symlink(t, "s", filepath.Join(dir, "allowed", "plain"))
	toFake := symlink(t, "docker.sock.d/my-docker.sock", filepath.Join(dir, "allowed", "innocent"))
	engine := onDisk("/")
	engine.Sockets = []string{filepath.Join(dir, "allowed2", "own.sock")}
	only := onDisk(filepath.Join(dir, "allowed"))
	for name, c := range map[string]struct {
		path string
		host generate.Host
		want string
	}{
		"no flag":                 {dir, onDisk(), `"` + dir + `" is outside the project`},
		"no flag, the way out":    {dir, onDisk(), "allow it with --allow-mount " + dir},
		"a sibling":               {dir + "/allowed2", only, "is outside the project"},
		"above what is allowed":   {dir, only, "is outside the project"},
		"link that leaves":        {leaves, only, `leads to "` + dir + `", is outside the project`},
		"link to /etc":            {toEtc, only, `leads to "/etc", is outside the project`},
		"link to /proc":           {toProc, onDisk("/"), "belongs to the kernel"},
		"link to /":               {toRoot, onDisk("/"), "is the whole machine"},
		"the machine":             {"/", onDisk("/"), "is the whole machine"},
		"proc":                    {"/proc", onDisk("/", "/proc"), "belongs to the kernel"},
		"below proc":              {"/proc/1/root", onDisk("/proc/1/root"), "belongs to the kernel"},
		"sys":                     {"/sys/fs/cgroup", onDisk("/sys"), "belongs to the kernel"},
		"dev":                     {"/dev/null", onDisk("/dev/null"), "belongs to the kernel"},
		"dev itself":              {"/dev", onDisk("/dev"), "belongs to the kernel"},
		"holds the socket":        {"/run", onDisk("/run"), "holds the engine's socket /run/docker.sock"},
		"holds the socket by way": {"/var/run", onDisk("/"), "holds the engine's socket"},
		"the engine's own":        {dir + "/allowed2", engine, "holds the engine's socket " + dir + "/allowed2/own.sock"},
		"a socket":                {dir + "/allowed/s", only, "is a socket"},
		"a link to a socket":      {toSocket, only, "is a socket"},
		"a name like the socket":  {toFake, only, "is the engine's socket"},
		"gone":                    {dir + "/gone", onDisk("/"), "does not exist"},
		"no machine":              {"/etc", attached(), "is outside the project"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := resolve(t, mounting(c.path), c.host, code())
			if err == nil {
				t.Fatal("it was allowed")
			}
			if got := fmt.Sprint(diagnostics(t, err), hints(t, err)); !strings.Contains(got, c.want) {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

// TestRefusedInsideTheProject is the same for relative paths, which no flag
// concerns.
func TestRefusedInsideTheProject(t *testing.T) {
	files := code()
	files["data/s"] = &fstest.MapFile{Mode: fs.ModeSocket | 0o666}
	files["data/pipe"] = &fstest.MapFile{Mode: fs.ModeNamedPipe | 0o666}
	files["data/disk"] = &fstest.MapFile{Mode: fs.ModeDevice | 0o666}
	files["data/innocent"] = link("x.docker.sock")
	files["data/x.docker.sock"] = &fstest.MapFile{}
	files["data/out"] = link("../../etc")
	files["data/absolute"] = link("/etc")
	files["data/chain"] = link("out")
	for name, want := range map[string]string{
		"data/s": "is a socket", "data/pipe": "is neither a file nor a directory", "data/disk": "is neither a file nor a directory",
		"data/innocent": "is the engine's socket", "data/out": "leads out of the project", "data/absolute": "leads out of the project",
		"data/chain": "leads out of the project", "data/out/passwd": "leads out of the project",
	} {
		if _, err := resolve(t, mounting(name), onDisk("/"), files); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", name, err, want)
		}
	}
	host := onDisk()
	for _, base := range []string{"/run", symlink(t, "/run", filepath.Join(realDir(t), "r"))} {
		host.Base = base // whoever keeps a pipeline there
		if _, err := resolve(t, mounting("."), host, code()); err == nil || !strings.Contains(err.Error(), "holds the engine's socket") {
			t.Errorf("%s: got %v", base, err)
		}
	}
}

// TestMountsWhatWasChecked holds that no link is left for somebody to turn.
func TestMountsWhatWasChecked(t *testing.T) {
	files := code()
	files["data/link"] = link("../src")
	p := must(t, mounting("data/link"), attached(), files)
	volumes := p.Project().Services["a"].Volumes
	if got := volumes[len(volumes)-1].Source; got != "/home/someone/project/src" {
		t.Errorf("mounts %s", got)
	}
}
