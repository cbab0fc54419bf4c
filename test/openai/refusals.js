// What OpenAI's own client throws at each refusal: refusals.js BASE_URL TOKEN, one line of JSON each
import OpenAI from "openai";

const [baseURL, apiKey] = process.argv.slice(2);
const client = new OpenAI({baseURL, apiKey, maxRetries: 0});
const stranger = new OpenAI({baseURL, apiKey: "a.b.c", maxRetries: 0});

const calls = [
	() => client.models.retrieve("shape"),
	() => stranger.models.retrieve("shape"),
	() => client.models.retrieve("shape/0/nothing"),
	() => client.get("/models/shape/x"),
	() => client.post("/embeddings/shape", {body: {messages: [{role: 1}]}}),
	() => client.post("/completions/shape"),
	() => client.get("/models/shape/0"),
];

for (const call of calls) {
	const said = await call().then(model => ({name: "", id: model.id}), error => ({
		name: error.constructor.name, status: error.status, code: error.code, type: error.type, param: error.param,
		message: error.message, identified: Boolean(error.requestID)}));
	console.log(JSON.stringify(said));
}
