package pipeline

import (
	"encoding/json"
	"slices"
)

func dockerSchema() object {
	builds := words{"python_version", "python_packages", "wheels", "system_dependencies", "build_dependencies", "source", "base_image"}
	finished := make(object, len(builds), len(builds)+1)
	for i, key := range builds {
		finished[i] = member{key, false}
	}
	finished = append(finished, member{"health_interval_s", false})
	debian := word("A Debian package: name, or name=version", shape(debianExpr, "must be a Debian package: a name such as libsndfile1, or name=version")).with("maxLength", maxMatch)
	image := shape(reference, "must be an image reference, such as python:3.11-slim").with("maxLength", maxMatch)
	return record("docker", "The container of a module:Class", nil, object{
		{"python_version", pythonSchema()},
		{"python_packages", set("Packages of the index: PEP 508 names with extras, versions and markers", word("A package",
			shape(requirementExpr+`(?:;[^`+unseen+`]*)?`, "must be a package such as numpy, numpy==2.1.0 or httpx[http2]>=0.27,<1").with("maxLength", maxMatch).without(`\.(?:txt|whl)(?:;|$)`, "must be a package, not a file"))).
			with("examples", []words{{"numpy==2.1.0"}})},
		{"wheels", set("Wheel files inside the project, installed together with python_packages", word("A wheel file, relative to the pipeline file", hostPath(url, `[*?]`)).
			rule(object{{"pattern", `\.whl$`}, {"patternErrorMessage", "must be a wheel file"}})).with("examples", []words{{"./wheels/tool-1.0-py3-none-any.whl"}})},
		{"system_dependencies", set("Debian packages of the image that runs", debian)},
		{"build_dependencies", set("Debian packages that only the installation of python_packages needs, such as g++", debian)},
		{"source", word("Directory with the module, inside the directory of the pipeline file; required unless image is set", hostPath(url)).with("examples", words{"./nodes/asr"})},
		{"base_image", word("Image to build on, Debian with Python. Default: python of python_version, slim", image).with("examples", words{"python:3.11-slim"})},
		{"image", word("A finished image, used as it is: nothing is built or copied in. With connections it must hold the SDK", image)},
		{"command", array("Command of image, a word an item. Default: the image's own", textual("A word", shape("[^"+unseen+"]*", "must be one line without control characters"))).with("minItems", 1)},
		{"env", object{
			{"title", "environment"},
			{"description", "Environment of the container, each value as written, $ included"},
			{"type", "object"},
			{"propertyNames", shape(envName, "must be letters, digits and _, not a digit first").with("maxLength", maxMatch)},
			{"additionalProperties", textual("A value", free())},
		}},
		{"env_from", set("Names of variables whose values come from the environment of the caller",
			word("A name", shape(envName, "must be letters, digits and _, not a digit first").with("maxLength", maxMatch)))},
		{"volumes", array("Directories and files of this machine inside the container", volumeSchema())},
		{"resource_limits", record("resource_limits", "What the container may use at most", nil, object{
			{"memory_mb", whole("Memory with swap and published frames, in MiB. Default: a share of the engine's", 0, 128, 1<<24)},
			{"cpu_cores", object{{"description", "Processor cores. Default: as many as there are"}, {"type", "number"}, {"minimum", 0.1}, {"maximum", 1024}}},
			{"pids", whole("Processes and threads", 0, 16, 1<<22)},
		})},
		{"gpu_devices", gpuSchema()},
		{"network", enum("none: no network. bridge: reaches other machines", "none", networks()...)},
		{"restart", restartSchema()},
		{"health_interval_s", whole("Seconds between the engine's health checks, which docker ps shows. Default: none are made", 0, 1, maxHealthInterval)},
	}).with("if", object{{"required", words{"image"}}}).
		with("then", object{{"properties", finished}}).
		with("else", object{{"required", words{"source"}}, {"properties", object{{"command", false}}}})
}

// pythonSchema also takes the versions without quotes: YAML makes numbers of
// them, and 3.10 is then the number 3.1.
func pythonSchema() object {
	versions := pythonVersions()
	numbers := make([]json.Number, 0, len(versions))
	for _, v := range versions {
		if v == "3.10" {
			v = "3.1"
		}
		numbers = append(numbers, json.Number(v))
	}
	return object{
		{"description", "Version of Python"},
		{"anyOf", []object{{{"enum", words(versions)}}, {{"type", "number"}, {"enum", numbers}}}},
		{"default", DefaultPythonVersion},
	}
}

func gpuSchema() object {
	id := slices.Concat(object{{"type", "string"}}, shape(gpuExpr, "must be an index, or an id that begins with GPU- or MIG-"))
	return object{
		{"description", "GPUs of the container: all, or a list of indexes and ids"},
		{"anyOf", []object{
			{{"const", "all"}},
			{{"type", "array"}, {"uniqueItems", true}, {"items", object{{"anyOf", []object{
				{{"type", "integer"}, {"minimum", 0}, {"maximum", 999}}, id,
			}}}}},
		}},
	}
}

func volumeSchema() object {
	host := shape("(?:"+within+")|(?:"+absolute+")", "must be a path inside the directory of the pipeline file, such as ./data").
		with("maxLength", maxText).without(sockets, "must not be the engine's socket")
	taken := `^/(?:proc|sys|dev|opt/venv|tmp/iceoryx2|etc/iceoryx2)(?:/|$)|^/(?:tmp|opt|etc|usr|bin|lib|lib64|sbin|var|run)?$|^/tmp/mn-|(?:^|/)docker\.sock$|:`
	container := shape(absolute, "must be an absolute path such as /data").
		with("maxLength", maxText).without(taken, "must be a path that the container does not need itself, such as /data")
	return record("volume", "One mount", []string{"host_path", "container_path"}, object{
		{"host_path", word("Path relative to the pipeline file; an absolute one needs --allow-mount", host).with("examples", words{"./data"})},
		{"container_path", word("Absolute path in the container", container).with("examples", words{"/data"})},
		{"read_only", boolean("Keep the container from writing", true)},
	})
}

func restartSchema() object {
	return record("restart", "Whether a container that ended by itself is started again", nil, object{
		{"policy", enum("no: the session fails. on-failure: again after a failure. always: again after any end", "no", policies()...)},
		{"max_attempts", whole("Attempts after which the session fails. Default: no end of them", 0, 1, maxAttempts)},
		{"window_s", whole("Seconds in which max_attempts count. Default: ever", 0, 1, maxMillis/1000)},
	}).with("dependencies", object{{"window_s", words{"max_attempts"}}}).
		with("if", object{{"properties", object{{"policy", object{{"const", "no"}}}}}}).
		with("then", object{{"properties", object{{"max_attempts", false}, {"window_s", false}}}})
}
