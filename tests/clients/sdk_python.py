"""The Python libraries of both dialects against the router.

argv: BASE URL, then the parts to run. Asserts on every answer; prints one line per check; any failure ends with a traceback.
The mock behind the router answers "weather" with a tool call, a tool result with "It is sunny.", and "hello" with text. It counts no tokens in some dialects, so a count must be there, not right.
"""

import json
import sys

import anthropic
import openai

BASE = sys.argv[1]
GREETING = "Good morning to you, too."
TOOL = {
    "name": "get_weather",
    "description": "tells the weather",
    "schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
HELLO = [{"role": "user", "content": "hello"}]
WEATHER = {"role": "user", "content": "weather in Paris"}


def check(name, condition, seen=None):
    assert condition, f"{name}: {seen!r}"
    print("ok", name)


def chat(client):
    answer = client.chat.completions.create(model="auto", messages=HELLO)
    check("chat", answer.choices[0].message.content == GREETING, answer)
    check("chat usage", answer.usage.total_tokens >= 0, answer.usage)

    raw = client.chat.completions.with_raw_response.create(model="auto", messages=HELLO)
    check("route header", "/" in raw.headers["x-openshell-route"], dict(raw.headers))

    chunks = list(client.chat.completions.create(model="auto", messages=HELLO, stream=True))
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    check("chat stream", text == GREETING, text)
    check("chat stream end", any(c.choices and c.choices[0].finish_reason == "stop" for c in chunks), chunks[-1])

    usage = {"include_usage": True}
    chunks = list(client.chat.completions.create(model="auto", messages=HELLO, stream=True, stream_options=usage))
    check("chat stream usage", chunks[-1].usage is not None and chunks[-1].usage.total_tokens >= 0, chunks[-1])

    tools = [{"type": "function", "function": {
        "name": TOOL["name"], "description": TOOL["description"], "parameters": TOOL["schema"]}}]
    answer = client.chat.completions.create(model="auto", messages=[WEATHER], tools=tools)
    call = answer.choices[0].message.tool_calls[0]
    check("chat tool", call.function.name == "get_weather" and json.loads(call.function.arguments) == {"city": "Paris"}, call)
    check("chat tool reason", answer.choices[0].finish_reason == "tool_calls", answer)

    turn = [WEATHER, answer.choices[0].message.model_dump(exclude_none=True),
            {"role": "tool", "tool_call_id": call.id, "content": "sunny, 21 degrees"}]
    answer = client.chat.completions.create(model="auto", messages=turn, tools=tools)
    check("chat tool result", answer.choices[0].message.content == "It is sunny.", answer)

    name, arguments = "", ""
    for chunk in client.chat.completions.create(model="auto", messages=[WEATHER], tools=tools, stream=True):
        for part in (chunk.choices[0].delta.tool_calls or []) if chunk.choices else []:
            name += part.function.name or ""
            arguments += part.function.arguments or ""
    check("chat tool stream", name == "get_weather" and json.loads(arguments) == {"city": "Paris"}, (name, arguments))


def responses(client):
    answer = client.responses.create(model="auto", input="hello", store=False)
    check("responses", answer.output_text == GREETING, answer)
    check("responses usage", answer.usage.total_tokens >= 0, answer.usage)
    kinds, text = [], ""
    for event in client.responses.create(model="auto", input="hello", store=False, stream=True):
        kinds.append(event.type)
        text += event.delta if event.type == "response.output_text.delta" else ""
    check("responses stream", text == GREETING, text)
    check("responses stream end", kinds[-1] == "response.completed" and kinds.count("response.completed") == 1, kinds)
    tools = [{"type": "function", "name": TOOL["name"], "description": TOOL["description"],
              "parameters": TOOL["schema"], "strict": False}]
    answer = client.responses.create(model="auto", input=[WEATHER], tools=tools, store=False)
    call = [item for item in answer.output if item.type == "function_call"][0]
    check("responses tool", json.loads(call.arguments) == {"city": "Paris"}, call)


def rest(client):
    vector = client.embeddings.create(model="auto", input="hello", encoding_format="float").data[0].embedding
    check("embeddings", len(vector) > 0 and all(isinstance(x, float) for x in vector), vector[:3])
    ids = [model.id for model in client.models.list()]
    check("models", "auto" in ids, ids)


def messages(client):
    ask = {"model": "auto", "max_tokens": 100}
    answer = client.messages.create(messages=HELLO, **ask)
    check("messages", answer.content[0].text == GREETING, answer)
    check("messages usage", answer.usage.output_tokens >= 0, answer.usage)
    with client.messages.stream(messages=HELLO, **ask) as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()
    check("messages stream", text == GREETING, text)
    check("messages stream end", final.stop_reason == "end_turn", final)
    tools = [{"name": TOOL["name"], "description": TOOL["description"], "input_schema": TOOL["schema"]}]
    answer = client.messages.create(messages=[WEATHER], tools=tools, **ask)
    call = [block for block in answer.content if block.type == "tool_use"][0]
    check("messages tool", call.input == {"city": "Paris"} and answer.stop_reason == "tool_use", answer)
    turn = [WEATHER, {"role": "assistant", "content": [block.model_dump(exclude_none=True) for block in answer.content]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": call.id, "content": "sunny"}]}]
    answer = client.messages.create(messages=turn, tools=tools, **ask)
    check("messages tool result", answer.content[0].text == "It is sunny.", answer)
    with client.messages.stream(messages=[WEATHER], tools=tools, **ask) as stream:
        final = stream.get_final_message()
    call = [block for block in final.content if block.type == "tool_use"][0]
    check("messages tool stream", call.input == {"city": "Paris"}, final)
    count = client.messages.count_tokens(model="auto", messages=HELLO)
    check("count_tokens", count.input_tokens > 0, count)


def errors(client, other):
    try:
        client.chat.completions.create(model="auto", messages="no list")
        check("chat error", False)
    except openai.BadRequestError as error:
        check("chat error", error.status_code == 400 and error.body is not None, error)
    try:
        other.messages.create(model="auto", max_tokens=5, messages=[{"role": "user", "content": 7}])
        check("messages error", False)
    except anthropic.BadRequestError as error:
        check("messages error", error.body["type"] == "error", error.body)


def main():
    openai_client = openai.OpenAI(base_url=BASE + "/v1", api_key="caller-key-openai", max_retries=0)
    anthropic_client = anthropic.Anthropic(base_url=BASE, api_key="caller-key-anthropic", max_retries=0)
    parts = {
        "chat": lambda: chat(openai_client),
        "responses": lambda: responses(openai_client),
        "rest": lambda: rest(openai_client),
        "messages": lambda: messages(anthropic_client),
        "errors": lambda: errors(openai_client, anthropic_client),
    }
    for part in sys.argv[2:]:
        parts[part]()
    print("all is well")


main()
