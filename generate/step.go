package generate

import (
	"encoding/json"
	"path"
	"slices"
	"strings"
)

// StepTitle is a step of one of our Dockerfiles as its author thinks of it:
// "[builder 4/6] pip install numpy" for the whole RUN line. Any other step
// stays as it is.
func StepTitle(step string) string {
	place, instruction := "", step
	if at := strings.Index(step, "] "); strings.HasPrefix(step, "[") && at > 0 {
		place, instruction = step[:at+2], step[at+2:]
	}
	list := strings.IndexByte(instruction, '[')
	if !strings.HasPrefix(instruction, "RUN ") || list < 0 {
		return step
	}
	var args []string
	err := json.Unmarshal([]byte(instruction[list:]), &args)
	args = slices.DeleteFunc(args, func(a string) bool { return a == "-B" })
	if err != nil || len(args) < 3 || args[1] != scriptPath {
		return step
	}
	verb, args := args[2], args[3:]
	switch verb {
	case "apt":
		return place + strings.Join(append([]string{"apt-get install"}, args...), " ")
	case "layers":
		return place + "part into layers"
	case "python":
		return place + "look for Python " + strings.Join(args, " ")
	case "remove":
		return place + "remove what packages of the base left"
	case "sdk":
		return place + "compile the SDK"
	case "venv":
		return place + "make the environment with " + strings.Join(args, " ")
	case "install":
		if len(args) > 0 {
			return place + packages(args[1:])
		}
	}
	return step
}

// packages is a call of the installer without the directories of the build.
func packages(args []string) string {
	words := []string{"pip install"}
	for _, a := range args {
		words = append(words, strings.TrimPrefix(strings.TrimPrefix(a, wheelsPath+"/"), path.Dir(requirementsP)+"/"))
	}
	return strings.Join(words, " ")
}
