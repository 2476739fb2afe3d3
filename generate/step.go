package generate

import (
	"encoding/json"
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
	case "compile":
		return place + "compile Python files"
	case "venv":
		return place + "virtual environment"
	case "delta":
		return place + "compile Python files, leave out what the base has"
	case "remove":
		return place + "remove what packages of the base left"
	case "python":
		return place + "look for Python " + strings.Join(args, " ")
	case "run":
		return place + program(args)
	}
	return step
}

// program is a command without its path and its plain options.
func program(args []string) string {
	if len(args) > 2 && args[1] == "-m" {
		args = args[2:]
	}
	var words []string
	for _, a := range args {
		if strings.HasPrefix(a, "--") {
			continue
		}
		words = append(words, strings.TrimPrefix(a, wheelsPath+"/"))
	}
	return strings.Join(words, " ")
}
