"""The one way to reach an LLM: a model from a string, one request at a time, what it used and what it cost.

The wire is pydantic-ai's (https://ai.pydantic.dev); retries with backoff are those of the provider's SDK.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import importlib
import inspect
import json
import math
import os
import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from evalsuite.errors import EvalsuiteError, MissingDependencyError, UsageError
from evalsuite.storage import sha256_file

if TYPE_CHECKING:
    from pydantic_ai.messages import ModelMessage, ModelResponse
    from pydantic_ai.models import Model, ModelRequestParameters
    from pydantic_ai.tools import ToolDefinition

MAX_RETRIES = 3
_offline: ContextVar[bool] = ContextVar("evalsuite_offline", default=False)
ACCEPTED = "openai/NAME, anthropic/NAME, PROVIDER/NAME (any pydantic-ai provider), or function:module:callable"


class ModelError(EvalsuiteError):
    """A request that got no usable answer. `kind` is one of the error kinds of formats.md 4, or `context`."""

    def __init__(self, kind: str, message: str, reply: Reply | None = None) -> None:
        super().__init__(message)
        self.kind = kind
        self.reply = reply  # what was paid for all the same


class BudgetError(EvalsuiteError):
    """The money allowed for this command is spent."""

    kind = "budget"


@dataclass
class Budget:
    """Money for one command, in USD; `limit` None means no limit."""

    limit: float | None = None
    spent: float = 0.0

    @property
    def exhausted(self) -> bool:
        return self.limit is not None and self.spent >= self.limit

    def require(self) -> None:
        """Raise BudgetError once the limit is reached."""
        if self.exhausted:
            raise BudgetError(f"the budget of {self.limit} USD is spent")


@dataclass(frozen=True)
class Price:
    """USD per million tokens; cached input counts at a tenth of the input price unless said."""

    input: float
    output: float
    cached: float | None = None

    def of(self, tokens: dict[str, int]) -> float:
        cached = tokens.get("cached", 0)
        rate = self.input / 10 if self.cached is None else self.cached
        return ((tokens["input"] - cached) * self.input + cached * rate + tokens["output"] * self.output) / 1e6


@dataclass
class Reply:
    """One answer: text and tool calls [(id, name, arguments as JSON text)], tokens {input, output, cached}, USD or None."""

    text: str
    calls: list[tuple[str, str, str]]
    tokens: dict[str, int]
    cost: float | None
    seconds: float
    cut: bool
    response: ModelResponse


@dataclass
class ChatModel:
    """A model that can be asked. `settings` are the provider's (temperature, max_tokens, ...)."""

    name: str
    model: Model
    base_url: str | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    price: Price | None = None
    free: bool = False
    budget: Budget = field(default_factory=Budget)
    source_sha256: str | None = None
    """Of a function: model, the hash of the file it is written in."""
    slots: asyncio.Semaphore | None = None
    """How many requests may be under way at once, over all trials and judges of a command."""

    def describe(self) -> dict[str, Any]:
        """What makes its answers: name, endpoint, settings, and the source where it is a function."""
        source = {"source_sha256": self.source_sha256} if self.source_sha256 else {}
        return {"name": self.name, "base_url": self.base_url, **source, **self.settings}

    async def request(
        self,
        messages: Sequence[ModelMessage],
        *,
        tools: Sequence[ToolDefinition] = (),
        text_only: bool = False,
        schema: type[Any] | None = None,
        timeout: float | None = None,
    ) -> Reply:
        """Ask once. `schema` (a pydantic model) asks for JSON of that shape, `text_only` for an answer that calls no tool.

        Raises ModelError, or BudgetError instead of asking.
        """
        from pydantic_ai.direct import model_request
        from pydantic_ai.exceptions import AgentRunError
        from pydantic_ai.models import ModelRequestParameters

        parameters = _with_schema(self.model, schema) if schema else ModelRequestParameters(function_tools=list(tools))
        settings: Any = {**self.settings, **({"timeout": timeout} if timeout else {})}
        if tools:  # a conversation that goes on
            settings.setdefault("cache", True)
        if text_only:  # providers refuse a conversation with tool calls in it when no tools are declared
            settings["tool_choice"] = "none"
        try:
            async with self.slots or contextlib.nullcontext():
                self.budget.require()
                began = time.perf_counter()
                async with asyncio.timeout(timeout):  # over all the SDK's attempts
                    response = await model_request(
                        self.model, messages, model_settings=settings, model_request_parameters=parameters
                    )
        except AgentRunError as error:
            raise _model_error(error) from error
        except TimeoutError as error:
            raise ModelError("timeout", str(error) or f"no answer within {timeout or 0:g} s") from error
        except (LookupError, AttributeError, TypeError) as error:  # a provider's adapter stumbled over the answer
            raise ModelError("judge_malformed", f"{type(error).__name__}: {error}") from error
        reply = self._reply(response, time.perf_counter() - began)
        self.budget.spent += self._at_least(reply, messages) if reply.cost is None else reply.cost
        if response.finish_reason == "content_filter":
            raise ModelError("judge_refused", "the provider's content filter stopped the answer", reply)
        return reply

    def _at_least(self, reply: Reply, messages: Sequence[ModelMessage]) -> float:
        """USD for the budget's sake, from characters, where the server does not say what was used."""
        if not self.price:
            return 0.0
        asked = sum(len(str(getattr(part, "content", ""))) for message in messages for part in message.parts)
        return self.price.of({"input": asked // 4, "output": len(reply.text) // 4})

    async def close(self) -> None:
        """Close the connections of this event loop."""
        close = getattr(getattr(self.model, "client", None), "close", None)
        if close:
            await close()

    def _reply(self, response: ModelResponse, seconds: float) -> Reply:
        from pydantic_ai.messages import TextPart, ToolCallPart

        usage = response.usage
        tokens = {"input": usage.input_tokens, "output": usage.output_tokens, "cached": usage.cache_read_tokens}
        calls = [
            (part.tool_call_id, part.tool_name, part.args if isinstance(part.args, str) else part.args_as_json_str())
            for part in response.parts
            if isinstance(part, ToolCallPart)
        ]
        text = "".join(part.content for part in response.parts if isinstance(part, TextPart))
        cost = self._cost(response, tokens)
        return Reply(text, calls, tokens, cost, seconds, response.finish_reason == "length", response)

    def recorded(self, line: dict[str, Any]) -> Reply:
        """An answer as a transcript keeps it, with what it used then; nothing is paid."""
        from pydantic_ai.messages import ModelMessagesTypeAdapter

        [response] = ModelMessagesTypeAdapter.validate_python([line["response"]])
        reply = self._reply(cast("ModelResponse", response), line["seconds"])
        reply.cost = line["cost"]
        return reply

    def _cost(self, response: ModelResponse, tokens: dict[str, int]) -> float | None:
        if self.free:
            return 0.0
        if response.usage.unmeasured_requests:
            return None
        if self.price:
            return self.price.of(tokens)
        if self.base_url:
            return None
        try:
            return float(response.cost().total_price)
        except (LookupError, ValueError, AssertionError):  # the server calls the model by another name
            return self._listed(response.usage)

    def _listed(self, usage: Any) -> float | None:
        """What `usage` costs by the list of genai-prices, under the name the model was asked for by."""
        from genai_prices import calc_price

        try:
            return float(calc_price(usage, self.model.model_name, provider_id=self.model.system).total_price)
        except LookupError:
            return None

    @property
    def priced(self) -> bool:
        """Whether the cost of a request will be known."""
        if self.free or self.price:
            return True
        if self.base_url:
            return False
        from genai_prices import Usage

        return self._listed(Usage(input_tokens=1, output_tokens=1)) is not None


@contextlib.contextmanager
def offline() -> Iterator[None]:
    """Models made inside the block are never asked, need no key, and go by the settings of the real ones.

    So what was recorded under their name is found; a request for anything else raises ModelError.
    """
    token = _offline.set(True)
    try:
        yield
    finally:
        _offline.reset(token)


def _refuse(messages: Any, info: Any) -> Any:
    raise ModelError("judge_unavailable", "the model is not asked here, and no recorded answer fits this request")


def create_model(
    spec: str, *, base_url: str | None = None, price: Price | None = None, settings: dict[str, Any] | None = None
) -> ChatModel:
    """A model from its name. With `base_url` any OpenAI-compatible server; keys come from the provider's usual variables.

    Raises UsageError for a name that is none, MissingDependencyError where the provider's SDK is not installed.
    """
    kept = {key: value for key, value in (settings or {}).items() if value is not None}
    if spec.startswith("function:"):
        function = load_callable(spec.removeprefix("function:"))
        free = price is None
        source = source_sha256(function)
        return ChatModel(spec, _function_model(function, spec), None, kept, price, free, source_sha256=source)
    if _offline.get():
        return ChatModel(spec, _function_model(_refuse, spec), base_url, kept, price, free=True)
    provider, *rest = re.split("[/:]", spec, maxsplit=1)
    name = rest[0] if rest else ""
    if base_url and spec.strip() and (name or not rest):
        name = name if provider == "openai" and rest else spec
        return ChatModel(spec, _openai_compatible(name, base_url), base_url, kept, price)
    if not (provider.strip() and name.strip()):
        raise UsageError(f"{spec!r} is not a model; accepted: {ACCEPTED}")
    return ChatModel(spec, _provider_model(provider, name, spec), None, kept, price)


def _openai_compatible(name: str, base_url: str) -> Model:
    from openai import AsyncOpenAI
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.openai import OpenAIProvider

    if not base_url.startswith(("http://", "https://")):
        raise UsageError(f"{base_url!r} is not the URL of a server; it starts with http:// or https://")
    client = AsyncOpenAI(
        base_url=base_url, api_key=os.environ.get("OPENAI_API_KEY") or "not-needed", max_retries=MAX_RETRIES
    )
    return OpenAIChatModel(name, provider=OpenAIProvider(openai_client=client))


def _provider_model(provider: str, name: str, spec: str) -> Model:
    from pydantic_ai.exceptions import UserError
    from pydantic_ai.models import infer_model

    try:
        return infer_model(f"{provider}:{name}")
    except ImportError as error:
        raise MissingDependencyError(f"the provider of {spec!r} needs a package: {error}") from error
    except (UserError, ValueError) as error:
        told = str(error).split(" To try Pydantic AI")[0].rstrip(".")
        told += f"; accepted: {ACCEPTED}" if told.startswith("Unknown") else ""
        raise UsageError(f"the model {spec!r} cannot be used: {told}") from error
    except Exception as error:
        if type(error).__module__.split(".")[0] in ("openai", "anthropic"):  # a missing key
            raise UsageError(f"the model {spec!r} cannot be used: {error}") from error
        raise


def _function_model(function: Callable[..., Any], spec: str) -> Model:
    from pydantic_ai.models.function import FunctionModel

    return FunctionModel(function, model_name=spec)


def load_callable(spec: str) -> Callable[..., Any]:
    """`module:callable` -> the callable; the working folder is searched too. Raises UsageError."""
    module, _, name = spec.partition(":")
    if not (module and name):
        raise UsageError(f"{spec!r} is not module:callable")
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        found: Any = importlib.import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
    except Exception as error:  # somebody else's code
        raise UsageError(f"{spec!r} cannot be loaded: {type(error).__name__}: {error}") from error
    if not callable(found):
        raise UsageError(f"{spec!r} is not callable")
    return found  # type: ignore[no-any-return]


def source_sha256(function: Callable[..., Any]) -> str | None:
    """Hash of the file a function is written in (its imports are not followed), None where there is none."""
    try:
        source = inspect.getsourcefile(inspect.unwrap(function))
    except TypeError:
        return None
    return sha256_file(Path(source)) if source and Path(source).is_file() else None


def parse_price(text: str) -> tuple[str, Price]:
    """`MODEL=IN,OUT[,CACHED]` in USD per million tokens. Raises UsageError."""
    name, _, numbers = text.rpartition("=")
    try:
        values = [float(number) for number in numbers.split(",")]
        if not name or len(values) not in (2, 3) or min(values) < 0 or not all(map(math.isfinite, values)):
            raise ValueError
    except ValueError:
        raise UsageError(
            f"a price is written MODEL=IN,OUT or MODEL=IN,OUT,CACHED (USD per million tokens); found {text!r}"
        ) from None
    return name, Price(*values)


def fingerprint(value: Any) -> str:
    """Hex sha256 of anything JSON can say, order kept."""
    return hashlib.sha256(json.dumps(value, ensure_ascii=False, default=str).encode()).hexdigest()


@cache
def _json_schema(schema: Any) -> dict[str, Any]:
    shape: dict[str, Any] = schema.model_json_schema()
    return shape


def _with_schema(model: Model, schema: type[Any]) -> ModelRequestParameters:
    from pydantic_ai.models import ModelRequestParameters
    from pydantic_ai.output import OutputObjectDefinition
    from pydantic_ai.tools import ToolDefinition

    shape = _json_schema(cast(Any, schema))
    if model.profile.get("supports_json_schema_output"):
        described = OutputObjectDefinition(json_schema=shape, name=schema.__name__, strict=True)
        return ModelRequestParameters(output_mode="native", output_object=described)
    tool = ToolDefinition(name="answer", parameters_json_schema=shape, description="Give your answer.", kind="output")
    return ModelRequestParameters(output_mode="tool", output_tools=[tool], allow_text_output=False)


def _model_error(error: Exception) -> ModelError:
    from pydantic_ai import exceptions as failed

    kind = "judge_unavailable"
    full = getattr(error, "provider_error_type", None) == "exceed_context_size_error"  # llama.cpp's server
    if full or isinstance(error, failed.ModelContextWindowExceededError):
        kind = "context"
    elif isinstance(error, (failed.ModelTimeoutError, failed.RunTimedOut)):
        kind = "timeout"
    elif isinstance(error, failed.ContentFilterError):
        kind = "judge_refused"
    elif isinstance(error, failed.UnexpectedModelBehavior):
        kind = "judge_malformed"
    return ModelError(kind, f"{type(error).__name__}: {' '.join(str(error).split())[:500]}")
