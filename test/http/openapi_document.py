"""/openapi.json as a judge of answers: what it says must be all that there is."""
import datetime
import json
import re

import jsonschema

FORMATS = jsonschema.FormatChecker(("uuid", "date", "json-pointer"))


@FORMATS.checks("date-time", ValueError)
def is_date_time(value):
    if not isinstance(value, str):
        return True
    formed = re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", value)
    return formed is not None and bool(datetime.datetime.fromisoformat(value[:19]))


class Document:
    def __init__(self, document):
        self.whole = document

    def resolve(self, node):
        while "$ref" in node:
            at = self.whole
            for key in node["$ref"].removeprefix("#/").split("/"):
                at = at[key.replace("~1", "/").replace("~0", "~")]
            node = at
        return node

    def operations(self):
        return {(method.upper(), path): operation for path, item in self.whole["paths"].items()
                for method, operation in item.items()}

    def operation(self, method, path):
        return self.whole["paths"][path][method.lower()]

    def parameters(self, operation):
        return [self.resolve(parameter) for parameter in operation.get("parameters", [])]

    def response(self, operation, status):
        for name in str(status), f"{status // 100}XX", "default":
            if name in operation["responses"]:
                return self.resolve(operation["responses"][name])
        raise AssertionError(f"status {status} is not documented")

    def codes(self, operation, status):
        """The codes that the operation names for a status; None where that has no problems."""
        named = operation["responses"].get(str(status))
        content = self.resolve(named)["content"] if named else {}
        schemas = [media.get("schema", {}) for media in content.values()]
        parts = [part for schema in schemas for part in schema.get("properties", {}).get("error", schema).get("allOf", [])]
        return set(parts[1]["properties"]["code"]["enum"]) if parts else None

    def closed(self, schema):
        """The schema with nothing beside what it names."""
        if not isinstance(schema, dict):
            return schema
        schema = dict(self.resolve(schema))
        if "allOf" in schema:
            return {**schema, "allOf": [self.resolve(part) for part in schema["allOf"]], "unevaluatedProperties": False}
        if "properties" in schema:
            schema["properties"] = {name: self.closed(member) for name, member in schema["properties"].items()}
            schema.setdefault("additionalProperties", False)
        if "items" in schema:
            schema["items"] = self.closed(schema["items"])
        return schema

    def validate(self, schema, value):
        jsonschema.Draft202012Validator(self.closed(schema), format_checker=FORMATS).validate(value)

    def check(self, answer, method, path):
        """The answer is as it is documented for the operation: status, headers, type, body."""
        response = self.response(self.operation(method, path), answer.status)
        self.check_headers(answer, response.get("headers", {}))
        content = response.get("content")
        if content is None:
            assert answer.body == b"" and answer.header("Content-Type") is None, "a body that is not documented"
            return
        media = answer.header("Content-Type")
        assert media in content, f"{media} is not documented"
        if media.endswith("json"):
            self.validate(content[media]["schema"], answer.json())

    def check_headers(self, answer, documented):
        there = {name for name, _ in answer.headers}
        for name, header in self.whole["components"]["headers"].items():
            if name.lower() not in there:
                assert not (name in documented and header.get("required")), f"{name} is missing"
                continue
            assert name in documented, f"{name} is not documented for {answer.status}"
            value = answer.header(name)
            integer = header["schema"]["type"] == "integer"
            self.validate(header["schema"], int(value) if integer else value)


def code_of(answer):
    """A problem's, or that of OpenAI's form."""
    said = answer.json()
    return said.get("error", said)["code"]


def names(answer, pointer):
    """Does the refusal say that this is wrong?"""
    said = answer.json()
    return said["error"]["param"] == pointer.split("/", 2)[2] if "error" in said else said["pointer"] == pointer


def fetch(gateway):
    return Document(json.loads(gateway.get("/openapi.json").body))
