# What a person types. `ARGS` goes to the program: `make demo ARGS="--for 30s"`.

.PHONY: demo

demo:
	@echo "building weir (the first time takes a few minutes) …"
	@cargo build --quiet --bin weir
	@cargo run --quiet --bin weir -- demo $(ARGS)
