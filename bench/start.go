package main
import ("context";"io")
func start(context.Context, io.Writer, int) error { return nil }
