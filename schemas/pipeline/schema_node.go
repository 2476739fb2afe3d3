package pipeline

import "slices"

func nodeSchema(builtins []Builtin) object {
	names, docs := make(words, len(builtins)), make(words, len(builtins))
	for i, b := range builtins {
		names[i], docs[i] = b.Name, b.Doc
	}
	class := word("A class of your own, as module:Class, in docker.source or in docker.image",
		shape(classExpr, "must be a built-in, or module:Class such as asr:Recognizer")).with("maxLength", maxMatch).without(`\.py:`, "must be a module without .py")
	node := record("node", "One processing step", []string{"id", "node_type"}, object{
		{"id", word("Name of the node, unique in the file, case ignored: a letter, then up to 62 letters, digits, - or _", idShape()).with("examples", words{"asr"})},
		{"node_type", object{
			{"description", "A built-in node, or module:Class"},
			{"anyOf", []object{{{"enum", names}, {"enumDescriptions", docs}}, class}},
			{"examples", words{"asr:Recognizer"}},
		}},
		{"is_streaming", boolean("true: any number of frames out for one in. false: exactly one, checked", true)},
		{"params", object{{"title", "params"}, {"description", "Reaches the node as it is, types kept"}, {"type", "object"}}},
		{"inputs", ports("Input ports, by name. What is declared is all there is; without it there is one, called input", false)},
		{"outputs", ports("Output ports, by name. What is declared is all there is; without it there is one, called output", true)},
		{"timeout_ms", whole("Longest time of one call of process, in milliseconds; the node fails when it passes. Default: none", 0, 1, maxMillis)},
		{"start_timeout_ms", whole("Longest time from the start of the container until the node is ready, in milliseconds", DefaultStartTimeoutMS, 1, maxMillis)},
		{"on_crash", enum("What a node that is started again gets of the frames it had when it died: drop: they are lost. retry: they come again; needs docker.restart", "drop", onCrashes()...)},
		{"docker", dockerSchema()},
	})
	rules := []object{
		when(object{{"node_type", object{{"pattern", "^(?:" + classExpr + ")$"}}}}, object{{"required", words{"docker"}}}),
		{{"if", startedAgain()}, {"else", object{{"properties", object{{"on_crash", object{{"const", "drop"}}}}}}}},
		when(object{{"timeout_ms", object{}}}, object{{"properties", object{{"inputs", object{{"minProperties", 1}}}}}}),
	}
	for _, b := range builtins {
		rules = append(rules, when(object{{"node_type", object{{"const", b.Name}}}}, builtinSchema(b)))
	}
	return node.rule(rules...)
}

// startedAgain holds of a node whose container a restart policy covers.
func startedAgain() object {
	policy := object{{"policy", object{{"enum", words(policies()[1:])}}}}
	restart := object{{"required", words{"policy"}}, {"properties", policy}}
	docker := object{{"required", words{"restart"}}, {"properties", object{{"restart", restart}}}}
	return object{{"required", words{"docker"}}, {"properties", object{{"docker", docker}}}}
}

// when is a rule for mappings in which each of these keys is set, and so.
func when(keys, then object) object {
	names := make(words, len(keys))
	for i, m := range keys {
		names[i] = m.key
	}
	return object{{"if", object{{"required", names}, {"properties", keys}}}, {"then", then}}
}

func idShape() object {
	return shape(idExpr, "must be a letter, then up to 62 letters, digits, - or _")
}

func ports(doc string, out bool) object {
	port := object{{"kind", enum("Kind of the frames; both ends of a connection must agree", KindAny, frameKinds()...)}}
	if out {
		size := slices.Concat(object{{"description", "Payload of the largest frame: bytes, or a number with KiB, MiB or GiB; at most 1GiB. Default: computed for a built-in, else 1MiB"}}, sizeShape())
		port = append(object{{"max_frame", size.with("examples", words{"64KiB", "1MiB"})}}, port...)
	}
	return object{
		{"title", "ports"},
		{"description", doc},
		{"type", "object"},
		{"propertyNames", idShape()},
		{"maxProperties", maxPorts},
		{"additionalProperties", record("port", "One port; {} for all defaults", nil, port)},
	}
}

// builtinSchema is what holds of a node of a built-in type.
func builtinSchema(b Builtin) object {
	properties := make(object, 0, len(b.Params))
	var required words
	for _, p := range b.Params {
		properties = append(properties, member{p.Name, paramSchema(p)})
		if p.Required {
			required = append(required, p.Name)
		}
	}
	rules := object{}
	params := object{{"title", "params of " + b.Name}, {"type", "object"}}
	if len(required) > 0 {
		rules = object{{"required", words{"params"}}}
		params = params.with("required", required)
	}
	return append(rules, member{"properties", object{
		{"node_type", object{{"description", b.Doc}}},
		{"params", params.with("properties", properties).with("additionalProperties", false)},
		{"inputs", fixedPorts(b.Inputs)},
		{"outputs", fixedPorts(b.Outputs)},
		{"timeout_ms", false},
		{"start_timeout_ms", false},
		{"on_crash", false},
		{"docker", false},
	}})
}

func fixedPorts(list []BuiltinPort) object {
	properties := make(object, len(list))
	for i, p := range list {
		kind := object{}
		if p.Kind != "" && p.Kind != KindAny {
			kind = object{{"properties", object{{"kind", object{{"const", p.Kind}}}}}}
		}
		properties[i] = member{p.Name, kind}
	}
	return object{{"properties", properties}, {"additionalProperties", false}}
}

func paramSchema(p ParamSpec) object {
	o := object{{"description", p.Doc}}
	switch p.Type {
	case ParamBool:
		o = o.with("type", "boolean")
	case ParamInteger:
		o = o.with("type", "integer")
	case ParamNumber:
		o = o.with("type", "number")
	case ParamPath:
		o = slices.Concat(o, object{{"type", "string"}}, hostPath())
	case ParamString:
		o = slices.Concat(o, object{{"type", "string"}}, stringShape(p))
	case ParamAny:
	}
	if p.Min != nil {
		o = o.with("minimum", *p.Min)
	}
	if p.Max != nil {
		o = o.with("maximum", *p.Max)
	}
	if p.Default != nil {
		o = o.with("default", p.Default)
	}
	return o
}

func stringShape(p ParamSpec) object {
	switch {
	case len(p.Choices) > 0:
		return object{{"enum", words(p.Choices)}}
	case p.Required:
		return line()
	}
	return free()
}

func connectionSchema() object {
	end := func(doc string) object { return word(doc, line()) }
	return record("connection", "One edge, from an output port to an input port", []string{"from", "to"}, object{
		{"from", end("Id of the node that sends")},
		{"from_output", end("Its output port").with("default", DefaultOutput)},
		{"to", end("Id of the node that receives")},
		{"to_input", end("Its input port").with("default", DefaultInput)},
		{"buffer", whole("Frames that may wait for the receiver", DefaultBuffer, 1, maxFrames)},
		{"hold", whole("Frames that the receiver may keep at once", DefaultHold, 1, maxFrames)},
		{"on_full", enum("When the buffer is full: block: the sender waits, nothing is lost. drop_oldest: the oldest frame is lost, and counted. Default: block; with feedback: drop_oldest", "", onFulls()...)},
		{"feedback", boolean("The edge leads back and may close a cycle; it never blocks, and end of stream ignores it", false)},
		{"wait", enum("How the receiver waits: adaptive: spins a few microseconds, then sleeps. block: sleeps. spin: never sleeps and takes a whole core, for the shortest delay. Of several inputs of a node the most eager counts", DefaultWait, waits()...)},
	}).rule(when(object{{"feedback", object{{"const", true}}}}, object{{"properties", object{{"on_full", object{{"const", "drop_oldest"}}}}}}))
}
