"use strict";

const element = id => document.getElementById(id);

function say(text) {
	element("said").textContent = text;
}

function show(user) {
	element("credentials").hidden = user !== null;
	element("account").hidden = user === null;
	element("who").textContent = user === null ? "" : user.email || user.id;
}

// The answer as JSON; an Error with what a person can do about it otherwise
async function ask(method, path, body) {
	const answer = await fetch("/api/auth/" + path, {
		method,
		headers: body ? { "Content-Type": "application/json" } : {},
		body: body && JSON.stringify(body),
	});
	const told = await answer.json();
	if (!answer.ok)
		throw new Error([told.detail, told.suggestion].filter(Boolean).join(". "));
	return told;
}

async function submit(event) {
	event.preventDefault();
	const form = event.target;
	const credentials = { email: form.email.value, password: form.password.value };
	const buttons = form.querySelectorAll("button");
	buttons.forEach(button => { button.disabled = true; });
	try {
		if (event.submitter && event.submitter.value === "register")
			await ask("POST", "register", credentials);
		show(await ask("POST", "login", credentials));
		form.reset();
		say("");
	} catch (error) {
		say(error.message);
	} finally {
		buttons.forEach(button => { button.disabled = false; });
	}
}

async function start() {
	element("credentials").addEventListener("submit", submit);
	try {
		show(await ask("GET", "me"));
	} catch {
		show(null);
	}
}

start();
