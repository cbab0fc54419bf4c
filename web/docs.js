// The API reference: /openapi.json as a page.
//
// Everything that comes from the document, or from an answer, becomes text nodes and
// never markup; the only links are to this service, to https: and within the page.
"use strict";

const METHODS = ["get", "post", "put", "patch", "delete"];
let api;

// Elements

const $ = id => document.getElementById(id);

function element(tag, properties, ...children) {
	const made = document.createElement(tag);
	for (const [name, value] of Object.entries(properties ?? {})) {
		if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
		else if (value === true) made.setAttribute(name, "");
		else if (value !== undefined && value !== false) made.setAttribute(name, value);
	}
	made.append(...children.flat(Infinity).filter(child => child !== undefined && child !== null && child !== ""));
	return made;
}

const code = text => element("code", {}, text);

// Of CommonMark what descriptions are written in: **bold**, `code` and [links](/to)
function inline(text) {
	const pieces = text.split(/(\*\*[^*]+\*\*|`[^`]+`|\[[^\]]+\]\([^)\s]+\))/);
	return pieces.map(piece => {
		const link = /^\[([^\]]+)\]\((\/[^)\s]*|https:[^)\s]+|#[^)\s]*)\)$/.exec(piece);
		if (link) return element("a", {href: link[2]}, link[1]);
		if (/^\*\*[^*]+\*\*$/.test(piece)) return element("strong", {}, piece.slice(2, -2));
		if (/^`[^`]+`$/.test(piece)) return code(piece.slice(1, -1));
		return piece;
	});
}

function paragraphs(text) {
	return (text ?? "").trim().split(/\n\s*\n/).filter(part => part).map(part => element("p", {}, inline(part)));
}

function copyable(text) {
	const button = element("button", {type: "button", onclick: async () => {
		await navigator.clipboard?.writeText(text);
		button.textContent = "Copied";
		setTimeout(() => { button.textContent = "Copy"; }, 1500);
	}}, "Copy");
	return element("div", {class: "sample"}, element("pre", {tabindex: "0"}, code(text)), button);
}

// The document

// What a $ref points to; a chain that does not end is cut
function resolve(node, depth = 0) {
	if (!node?.$ref?.startsWith("#/") || depth > 8) return node ?? {};
	const found = node.$ref.slice(2).split("/")
		.reduce((at, key) => at?.[key.replaceAll("~1", "/").replaceAll("~0", "~")], api);
	return resolve(found, depth + 1);
}

function* operations() {
	for (const [path, item] of Object.entries(api.paths ?? {}))
		for (const method of METHODS)
			if (item[method]) yield {path, method, ...item[method]};
}

const content = answer => Object.entries(resolve(answer).content ?? {})[0] ?? [];

function isProblem(answer) {
	const [type, media] = content(answer);
	return type === "application/problem+json" || media?.schema?.properties?.error?.allOf?.[0]?.$ref === "#/components/schemas/OpenAIError";
}

// Schemas

function typeOf(schema) {
	const types = [schema.type ?? "any"].flat();
	const names = types.map(type => type === "array" ? `array of ${typeOf(resolve(schema.items))}` : type);
	return names.join(" or ") + (schema.format ? ` (${schema.format})` : "");
}

function between(least, most, unit) {
	if (least === undefined && most === undefined) return [];
	if (least === undefined) return [`at most ${most}${unit}`];
	return [most === undefined ? `at least ${least}${unit}` : `${least} to ${most}${unit}`];
}

function constraints(schema) {
	return [
		...between(schema.minimum, schema.maximum, ""),
		...between(schema.minLength, schema.maxLength, " characters"),
		...between(schema.minItems, schema.maxItems, " items"),
		...(schema.enum ? [`one of ${schema.enum.map(value => JSON.stringify(value)).join(", ")}`] : []),
		...(schema.const !== undefined ? [`always ${JSON.stringify(schema.const)}`] : []),
		...(schema.pattern ? [`like ${schema.pattern}`] : []),
		...(schema.default !== undefined ? [`${JSON.stringify(schema.default)} if left out`] : []),
		...(schema["x-clamp"] ? ["more is taken as the most"] : []),
	];
}

function describe(schema) {
	const more = constraints(schema).join("; ");
	return [element("span", {class: "types"}, typeOf(schema)), more && element("span", {class: "soft"}, ` ${more}`)];
}

function nested(schema, depth) {
	const items = resolve(schema.items);
	if (depth > 6) return null;
	if (schema.properties) return members(schema, depth);
	return items.properties ? members(items, depth) : null;
}

function members(schema, depth = 0) {
	const required = new Set(schema.required ?? []);
	const inOrder = Object.entries(schema.properties).sort(([a], [b]) => required.has(b) - required.has(a));
	return element("ul", {class: "schema"}, inOrder.map(([name, member]) => {
		const inner = resolve(member);
		return element("li", {}, code(name), " ", describe(inner),
			required.has(name) || inner.default !== undefined ? "" : element("span", {class: "soft"}, " optional"),
			inner.description ? element("div", {class: "soft"}, inline(inner.description)) : "",
			nested(inner, depth + 1));
	}));
}

function schemaView(given) {
	const schema = resolve(given);
	return [element("p", {}, describe(schema)), nested(schema, 0)];
}

const SAMPLES = {
	"uuid": "0199c2f0-7a3e-7b51-9c64-2f1d8e5a6b07", "date-time": "2026-01-31T13:45:00Z", "date": "2026-01-31",
	"email": "somebody@example.org", "uri": "https://example.org/",
};

// A value that the schema allows, or nearly
function sample(given, depth = 0) {
	const schema = resolve(given);
	const type = [schema.type].flat()[0];
	for (const value of [schema.examples?.[0], schema.const, schema.default, schema.enum?.[0]])
		if (value !== undefined) return value;
	if (type === "object" && depth < 6)
		return Object.fromEntries(Object.entries(schema.properties ?? {}).map(([name, member]) => [name, sample(member, depth + 1)]));
	if (type === "array") return depth < 6 && schema.items ? [sample(schema.items, depth + 1)] : [];
	if (type === "integer" || type === "number") return schema.minimum ?? 0;
	if (type === "boolean") return true;
	return type === "string" ? SAMPLES[schema.format] ?? "text" : type === undefined ? {} : null;
}

const pretty = value => JSON.stringify(value, null, 2);

// The parts of an operation

const CREDENTIALS = {bearer: "token", api_key: "API key", session: "session cookie"};

function credentials(operation) {
	const kinds = operation.security ?? [];
	if (kinds.length === 0) return ["no credentials"];
	const names = kinds.flatMap(kind => Object.keys(kind)).map(name => CREDENTIALS[name] ?? name);
	const scopes = [...new Set(kinds.flatMap(kind => Object.values(kind)).flat())];
	return [(kinds.some(kind => Object.keys(kind).length === 0) ? "optional: " : "") + names.join(" or "),
		...scopes.map(scope => `scope ${scope}`)];
}

const COUNTED_BY = {ip: "address", api_key: "API key", anonymous: "anonymous user", global: "all together"};

function span(window) {
	const seconds = Number.parseInt(window, 10);
	if (Number.isNaN(seconds)) return {lifetime: "in all", hour: "an hour"}[window] ?? `a ${window}`;
	return seconds % 3600 === 0 ? `in ${seconds / 3600} h` : seconds % 60 === 0 ? `in ${seconds / 60} min` : `in ${seconds} s`;
}

function chips(operation) {
	const limits = (operation["x-limits"] ?? []).map(limit =>
		`${limit.limit} ${span(limit.window)} by ${COUNTED_BY[limit.per] ?? limit.per}`);
	const budget = operation["x-budget"] ? ["within budget"] : [];
	return element("ul", {class: "chips", "aria-label": "Credentials and limits"},
		[...credentials(operation), ...limits, ...budget].map(text => element("li", {}, text)));
}

function table(headings, rows) {
	return element("div", {class: "scroll"}, element("table", {},
		element("thead", {}, element("tr", {}, headings.map(heading => element("th", {scope: "col"}, heading)))),
		element("tbody", {}, rows.map(cells => element("tr", {}, cells.map(cell => element("td", {}, cell)))))));
}

function parameters(operation) {
	const list = (operation.parameters ?? []).map(parameter => resolve(parameter));
	if (list.length === 0) return [];
	return [element("h3", {}, "Parameters"), table(["Name", "Type", "Meaning"], list.map(parameter => [
		[code(parameter.name), element("div", {class: "soft"}, parameter.in, " ",
			parameter.required ? element("span", {class: "required"}, "required") : "")],
		describe(resolve(parameter.schema)), inline(parameter.description ?? "")]))];
}

function requestBody(operation) {
	const [type, media] = content(operation.requestBody);
	if (!media) return [];
	return [element("h3", {}, "Body ", element("span", {class: "types"}, type)), schemaView(media.schema)];
}

function problems(answer) {
	return Object.values(content(answer)[1]?.examples ?? {}).map(example => resolve(example).value)
		.map(value => value.error ? {code: value.error.code, detail: value.error.message} : value);
}

function part(status, title, good, ...inside) {
	return element("details", {class: "part"}, element("summary", {},
		element("span", {class: `status ${good ? "ok" : "bad"}`}, status), ` ${title}`), inside);
}

function success([status, answer]) {
	const [type, media] = content(answer);
	const inside = media ? [element("p", {class: "types"}, type), schemaView(media.schema),
		media.schema?.type || media.schema?.$ref ? copyable(pretty(sample(media.schema))) : ""] : [element("p", {class: "soft"}, "No body.")];
	const made = part(status, resolve(answer).description ?? "", true, inside);
	made.open = true;
	return made;
}

function refusals([status, answer]) {
	const found = problems(answer);
	const title = found[0] && /^\d+$/.test(status) ? found[0].title ?? resolve(answer).description.split(":")[0] : "whatever cannot be served";
	return part(status === "default" ? "any" : status, title, false, table(["Code", "When", "What to do"],
		found.map(problem => [code(problem.code), problem.detail ?? "", problem.suggestion ?? ""])));
}

function answers(operation) {
	const all = Object.entries(operation.responses ?? {}).filter(([status]) => status !== "4XX");
	return [element("h3", {}, "Answers"),
		all.filter(([, answer]) => !isProblem(answer)).map(success),
		all.filter(([, answer]) => isProblem(answer)).map(refusals)];
}

// Trying it

const needsCredentials = operation => (operation.security ?? []).length > 0;

function credentialHeader(operation) {
	const token = $("token").value.trim();
	if (!token || !needsCredentials(operation)) return {};
	const isToken = token.split(".").length === 3;
	return isToken || !operation.security.some(kind => "api_key" in kind)
		? {"Authorization": `Bearer ${token}`} : {"X-API-Key": token};
}

function target(operation, values) {
	const query = new URLSearchParams();
	let path = operation.path;
	for (const [parameter, value] of values) {
		if (parameter.in === "path") path = path.replace(`{${parameter.name}}`, encodeURIComponent(value));
		else if (parameter.in === "query" && value !== "") query.append(parameter.name, value);
	}
	return path + (`${query}` ? `?${query}` : "");
}

function shown(text, type) {
	if (!/json/.test(type ?? "")) return text;
	try {
		return pretty(JSON.parse(text));
	} catch {
		return text;
	}
}

// A stream of events has no end to be waited for
async function bodyOf(answer) {
	if (!/event-stream/.test(answer.headers.get("content-type") ?? "")) return answer.text();
	await answer.body.cancel();
	return "A stream of events: follow it with curl -N, or EventSource.";
}

async function ask(operation, values, body) {
	const headers = {...credentialHeader(operation)};
	for (const [parameter, value] of values)
		if (parameter.in === "header" && value !== "") headers[parameter.name] = value;
	if (body !== undefined) headers["Content-Type"] = "application/json";
	const started = performance.now();
	const credentials = headers["Authorization"] || headers["X-API-Key"] ? "omit" : "same-origin";
	const answer = await fetch(target(operation, values), {method: operation.method.toUpperCase(), headers, body, credentials});
	const text = await bodyOf(answer);
	return {
		status: answer.status, took: Math.round(performance.now() - started),
		headers: [...answer.headers].map(([name, value]) => `${name}: ${value}`).join("\n"),
		body: shown(text, answer.headers.get("content-type")),
	};
}

function answerView(answer) {
	return [element("p", {}, element("span", {class: `status ${answer.status < 400 ? "ok" : "bad"}`}, String(answer.status)),
		element("span", {class: "soft"}, ` after ${answer.took} ms`)),
	answer.body ? copyable(answer.body) : "",
	element("details", {}, element("summary", {class: "soft"}, "Headers"), copyable(answer.headers))].filter(child => child);
}

function curl(operation) {
	const lines = [`curl -X ${operation.method.toUpperCase()} ${location.origin}${operation.path}`];
	if (needsCredentials(operation)) lines.push("-H \"Authorization: Bearer $TOKEN\"");
	const [, media] = content(operation.requestBody);
	if (media) lines.push("-H 'Content-Type: application/json'", `-d '${JSON.stringify(sample(media.schema)).replaceAll("'", "'\\''")}'`);
	return lines.join(" \\\n     ");
}

function field(parameter) {
	const schema = resolve(parameter.schema);
	const input = element("input", {autocomplete: "off", spellcheck: "false", required: parameter.required,
		placeholder: schema.default !== undefined ? String(schema.default) : SAMPLES[schema.format] ?? ""});
	return {parameter, input, label: element("label", {}, parameter.name, input)};
}

function tryIt(operation) {
	const fields = (operation.parameters ?? []).map(parameter => field(resolve(parameter)));
	const [, media] = content(operation.requestBody);
	const body = media && element("textarea", {"aria-label": "Body", spellcheck: "false"});
	const said = element("div", {"aria-live": "polite"});
	const send = element("button", {class: "send"}, "Send");
	const form = element("form", {onsubmit: async event => {
		event.preventDefault();
		send.disabled = true;
		try {
			said.replaceChildren(...answerView(await ask(operation,
				fields.map(({parameter, input}) => [parameter, input.value]), body?.value)));
		} catch (error) {
			said.replaceChildren(element("p", {class: "status bad"}, `No answer: ${error.message}`));
		}
		send.disabled = false;
	}}, fields.length ? element("div", {class: "fields"}, fields.map(({label}) => label)) : "", body ?? "",
	element("p", {}, send), said);
	if (body) body.value = pretty(sample(media.schema));
	return element("details", {class: "part"}, element("summary", {}, "Try it"), form);
}

// The page

function pathView(path) {
	return path.split(/(\{[^}]+\})/).map(piece => piece.startsWith("{") ? element("b", {}, piece) : piece);
}

const badge = method => element("span", {class: `method ${method}`}, method.toUpperCase());

// What is inside is made when it is first opened
function operationView(operation) {
	const inside = element("div", {class: "body"});
	const view = element("details", {class: "operation", id: operation.operationId, ontoggle: () => {
		if (!view.open || inside.childElementCount > 0) return;
		inside.append(...paragraphs(operation.description), chips(operation), ...[parameters(operation),
			requestBody(operation), answers(operation)].flat(Infinity).filter(child => child),
			element("h3", {}, "Request"), copyable(curl(operation)), tryIt(operation));
	}}, element("summary", {}, badge(operation.method), element("span", {class: "path"}, pathView(operation.path)),
		element("span", {class: "soft"}, operation.summary ?? "")), inside);
	return view;
}

function groups() {
	const found = new Map((api.tags ?? []).map(tag => [tag.name, {tag, list: []}]));
	for (const operation of operations()) {
		const name = operation.tags?.[0] ?? "other";
		if (!found.has(name)) found.set(name, {tag: {name}, list: []});
		found.get(name).list.push(operation);
	}
	return [...found.values()].filter(({list}) => list.length > 0);
}

function nameOf(tag) {
	return tag.name === "llm" ? "LLM" : tag.name.replaceAll("_", " ");
}

function indexView(group) {
	return element("section", {}, element("h2", {}, nameOf(group.tag)), element("ul", {}, group.list.map(operation =>
		element("li", {"data-words": `${operation.method} ${operation.path} ${operation.summary ?? ""}`.toLowerCase()},
			element("a", {href: `#${operation.operationId}`}, badge(operation.method), element("span", {}, operation.summary ?? operation.path))))));
}

function groupView(group) {
	return element("section", {}, element("h2", {}, nameOf(group.tag)),
		group.tag.description ? element("p", {class: "soft"}, inline(group.tag.description)) : "",
		group.list.map(operationView));
}

function openTarget() {
	const view = $(decodeURIComponent(location.hash.slice(1)));
	for (const link of document.querySelectorAll("nav a[aria-current]")) link.removeAttribute("aria-current");
	if (!view?.classList.contains("operation")) return;
	view.open = true;
	view.scrollIntoView();
	view.querySelector("summary").focus({preventScroll: true});
	document.querySelector(`nav a[href="#${CSS.escape(view.id)}"]`)?.setAttribute("aria-current", "true");
}

function applyFilter() {
	$("menu").open ||= $("filter").value !== "";
	const words = $("filter").value.toLowerCase().split(/\s+/).filter(word => word);
	for (const item of document.querySelectorAll("nav li"))
		item.hidden = !words.every(word => item.dataset.words.includes(word));
	for (const section of $("index").children) section.hidden = !section.querySelector("li:not([hidden])");
}

async function getAnonymousToken() {
	const said = $("token-said");
	try {
		const answer = await fetch("/api/v1/anon_session", {method: "POST"});
		const body = await answer.json();
		if (!answer.ok) throw new Error(body.suggestion ?? body.title);
		$("token").value = body.token;
		said.textContent = `You are ${body.user_id} until ${body.expires_at}.`;
	} catch (error) {
		said.textContent = `There is no token: ${error.message}`;
	}
}

function show() {
	document.title = `${api.info.title}: API reference`;
	$("title").textContent = api.info.title;
	$("about").replaceChildren(`Version ${api.info.version}, OpenAPI ${api.openapi}: `, element("a", {href: "/openapi.json"}, "/openapi.json"));
	$("description").append(...paragraphs(api.info.description));
	const all = groups();
	$("index").append(...all.map(indexView));
	$("operations").append(...all.map(groupView));
	$("menu").open = !matchMedia("(max-width: 56rem)").matches;
	$("filter").addEventListener("input", applyFilter);
	$("anonymous").addEventListener("click", getAnonymousToken);
	$("credential-form").addEventListener("submit", event => event.preventDefault());
	addEventListener("hashchange", openTarget);
	openTarget();
}

addEventListener("keydown", event => {
	if (event.key !== "/" || /^(INPUT|TEXTAREA)$/.test(event.target.tagName)) return;
	event.preventDefault();
	$("filter").focus();
});

async function start() {
	try {
		const answer = await fetch("/openapi.json");
		if (!answer.ok) throw new Error(`it was answered with ${answer.status}`);
		api = await answer.json();
	} catch (error) {
		$("about").textContent = `The description of the endpoints cannot be read just now: ${error.message}.`;
		return;
	}
	show();
}

start();
