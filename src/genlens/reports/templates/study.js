"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const part = (id) => document.getElementById(id);
const LOOK = "What does the program look at here?";
const PAIR = "Which pictures explain better what the program looks at?";
const state = { person: 0, schedule: 0, step: 0, answers: [], shown: 0, saved: false };

function element(name, properties, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

function show(id) {
  for (const name of ["welcome", "question", "end"]) part(name).hidden = name !== id;
  window.scrollTo(0, 0);
  part(id).querySelector("h1").focus();
}

function pictureSet(name, title) {
  const grid = element("div", { className: "grid" });
  data.pictures[name].forEach((source, k) => {
    grid.append(element("img", { src: source, alt: `${title}, picture ${k + 1}` }));
  });
  return element("figure", { className: "set" }, element("figcaption", { textContent: title }), grid);
}

function texts(step) {
  if (step.kind === "check") {
    const word = data.words[step.item];
    return { ask: "A question to see that you are reading", hint: `Please choose “${word}” here.`, titles: [], choice: (name) => name };
  }
  const item = data.items[step.item];
  if (step.kind === "look") {
    return {
      ask: LOOK,
      hint: `These pictures were made to show what the program looks at for ${item.label}.`,
      titles: ["The pictures"],
      choice: (name) => (name === "unsure" ? "I can't tell" : item.options[name]),
    };
  }
  return {
    ask: PAIR,
    hint: `Both sets were made to show what the program looks at for ${item.label}.`,
    titles: ["Left pictures", "Right pictures"],
    choice: (name) => (name === "equal" ? "Both equally well" : name === step.sets[0] ? "The left pictures" : "The right pictures"),
  };
}

function showStep() {
  const steps = data.schedules[state.schedule];
  const step = steps[state.step];
  const said = texts(step);
  part("place").textContent = `Question ${state.step + 1} of ${steps.length}`;
  part("bar").value = state.step / steps.length;
  part("ask").textContent = said.ask;
  part("hint").textContent = said.hint;
  part("sets").replaceChildren(...step.sets.map((name, k) => pictureSet(name, said.titles[k])));
  part("choices").replaceChildren(...step.options.map((name) =>
    element("label", { className: "choice" }, element("input", { type: "radio", name: "choice", value: name }), element("span", { textContent: said.choice(name) }))));
  part("question-problem").textContent = "";
  show("question");
  state.shown = performance.now();
}

function answers() {
  return JSON.stringify({
    format: "genlens-study-answers", version: data.version, design: data.design, person: state.person,
    schedule: state.schedule, session: state.session, consent: true, answers: state.answers, comment: part("comment").value,
  }, null, 1);
}

part("welcome").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = part("person").value.trim();
  const problem = part("welcome-problem");
  if (!/^[1-9][0-9]{0,5}$/.test(text)) {
    problem.textContent = "Please enter your participant number, such as 7.";
    part("person").focus();
  } else if (!part("consent").checked) {
    problem.textContent = "Please tick the box if you want to take part.";
    part("consent").focus();
  } else {
    state.person = Number(text);
    state.schedule = (state.person - 1) % data.schedules.length;
    state.session = [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
    showStep();
  }
});

part("question").addEventListener("submit", (event) => {
  event.preventDefault();
  const chosen = part("choices").querySelector("input:checked");
  if (!chosen) {
    part("question-problem").textContent = "Please choose an answer.";
    part("choices").querySelector("input").focus();
    return;
  }
  state.answers.push({ step: state.step, choice: chosen.value, ms: Math.round(performance.now() - state.shown) });
  state.step += 1;
  if (state.step < data.schedules[state.schedule].length) {
    showStep();
  } else {
    part("copy").value = answers();
    show("end");
  }
});

part("comment").addEventListener("input", () => { part("copy").value = answers(); });

part("save").addEventListener("click", () => {
  const address = URL.createObjectURL(new Blob([answers()], { type: "application/json" }));
  element("a", { href: address, download: `answers-${state.person}.json` }).click();
  setTimeout(() => URL.revokeObjectURL(address), 10000);
  state.saved = true;
  part("saved").textContent = "Saved. You may close the page.";
});

window.addEventListener("beforeunload", (event) => {
  if (state.answers.length && !state.saved) event.preventDefault();
});

const given = new URLSearchParams(location.search).get("person");
if (given) part("person").value = given;
