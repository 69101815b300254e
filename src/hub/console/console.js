// The console: shows what the API says, live, and pushes rule sets. Everything that came from
// outside is put on the page as text, never as markup.
"use strict";

const HISTORY_SHOWN = 200;
const FADE_MS = 4000;
const CHECK_AFTER_MS = 300;
// The hub sends a sign of life every 15 s.
const SILENCE_MS = 45000;

const $ = (id) => document.getElementById(id);
const state = { token: "", last: 0, alerts: new Map(), history: [], agents: [], sets: [], open: null, checks: 0 };

// --- a few words for building elements ---------------------------------------------------------

function el(tag, attributes, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (name === "on") node.addEventListener(value[0], value[1]);
    else if (value !== undefined && value !== null && value !== false) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined && child !== ""));
  return node;
}

const tag = (text, kind) => el("span", { class: `tag ${kind || ""}` }, String(text));
const number = (value) => (typeof value === "number" && !Number.isInteger(value) ? String(Number(value.toPrecision(6))) : typeof value === "object" ? JSON.stringify(value) : String(value));
const pairs = (object) => Object.entries(object || {});

function when(text) {
  const at = new Date(text);
  if (Number.isNaN(at.getTime())) return el("time", {}, text);
  const today = at.toDateString() === new Date().toDateString();
  const shown = today ? at.toLocaleTimeString() : at.toLocaleString();
  return el("time", { datetime: text, title: text }, shown);
}

function since(text) {
  const seconds = Math.max(0, Math.round((Date.now() - new Date(text).getTime()) / 1000));
  return Number.isNaN(seconds) ? "" : `${span(seconds)} ago`;
}

// A figure of an agent's report, over all its labels.
const figure = (metrics, name) => pairs(metrics).reduce((sum, [key, value]) => (key === name || key.startsWith(`${name}{`) ? sum + value : sum), 0);

function bytes(size) {
  for (const [unit, one] of [["GB", 1e9], ["MB", 1e6], ["kB", 1e3]]) {
    if (size >= one) return `${(size / one).toFixed(1)} ${unit}`;
  }
  return `${size} B`;
}

function span(seconds) {
  for (const [unit, size] of [["d", 86400], ["h", 3600], ["min", 60]]) {
    if (seconds >= size) return `${Math.floor(seconds / size)}\u00a0${unit}`;
  }
  return `${Math.floor(seconds)}\u00a0s`;
}

// The labels that are not in the heading already.
const ownLabels = (t) => pairs(t.labels).filter(([name]) => !["agent", "ruleset", "alertname"].includes(name));
// The values that its labels do not say already.
const ownValues = (t) => pairs(t.values).filter(([name, value]) => t.labels[name] !== String(value)).map(([name, value]) => `${name} ${number(value)}`);

// --- the API -----------------------------------------------------------------------------------

class Refused extends Error {}

async function api(path, options = {}) {
  const response = await fetch(`/api/v1${path}`, { ...options, headers: { authorization: `Bearer ${state.token}`, ...options.headers } });
  if (response.status === 401) throw new Refused("this is not the hub's token");
  return response;
}

async function read(path) {
  const response = await api(path);
  if (!response.ok) throw new Error(`${path}: ${response.status}`);
  return response.json();
}

function askToken(why) {
  return new Promise((resolve) => {
    $("ask-error").textContent = why || "";
    $("ask-token").value = "";
    $("ask").oncancel = (event) => event.preventDefault();
    $("ask-form").onsubmit = () => {
      state.token = $("ask-token").value.trim();
      sessionStorage.setItem("weir-token", state.token);
      resolve();
    };
    $("ask").showModal();
  });
}

async function enter() {
  const fromUrl = new URLSearchParams(location.hash.slice(1)).get("token");
  if (fromUrl) {
    sessionStorage.setItem("weir-token", fromUrl);
    history.replaceState(null, "", location.pathname);
  }
  state.token = sessionStorage.getItem("weir-token") || "";
  if (!state.token) await askToken();
}

// --- live ---------------------------------------------------------------------------------------

function setLink(text, live) {
  $("link").textContent = text;
  $("link").classList.toggle("live", live);
}

async function loadAll() {
  const [history, alerts, agents, sets] = await Promise.all([
    read(`/transitions?limit=${HISTORY_SHOWN}`), read("/alerts?limit=1000"), read("/agents"), read("/rulesets")]);
  state.history = history.reverse();
  state.last = history.length ? state.history[0].id : 0;
  state.alerts = new Map(alerts.map((alert) => [`${alert.agent} ${alert.fingerprint}`, alert]));
  // What happened between the two answers comes again with the stream.
  state.agents = agents;
  state.sets = sets;
  showAlerts();
  showHistory();
  showAgents();
  showSets();
  // A first look should show what runs, and must not take anybody's text away.
  if (!state.looked && sets.length > 0 && !isEdited()) openSet(sets[0].name);
  state.looked = true;
}

async function live() {
  for (let wait = 500; ; wait = Math.min(wait * 2, 10000)) {
    try {
      await loadAll();
      wait = 500;
      await follow();
    } catch (error) {
      if (error instanceof Refused) await askToken(error.message);
    }
    setLink("reconnecting", false);
    await new Promise((resolve) => setTimeout(resolve, wait * (0.5 + Math.random() / 2)));
  }
}

// EventSource cannot send a token, so the stream is read by hand.
async function follow() {
  const dead = new AbortController();
  const response = await api(`/events?after=${state.last}`, { signal: dead.signal });
  if (!response.ok) throw new Error(String(response.status));
  setLink("live", true);
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let buffer = "";
  for (;;) {
    const watchdog = setTimeout(() => dead.abort(), SILENCE_MS);
    const { value, done } = await reader.read().finally(() => clearTimeout(watchdog));
    if (done) return;
    buffer += value;
    for (let end; (end = buffer.indexOf("\n\n")) >= 0; buffer = buffer.slice(end + 2)) {
      receive(buffer.slice(0, end));
    }
  }
}

function receive(block) {
  const fields = Object.fromEntries(block.split("\n").map((line) => line.split(/: ?(.*)/s)));
  if (!fields.data) return;
  const data = JSON.parse(fields.data);
  if (fields.event === "transition") takeTransition(data);
  else if (fields.event === "agent") refreshAgents();
  else if (fields.event === "ruleset") { refreshSets(); refreshAgents(); }
}

function takeTransition(t) {
  if (t.id <= state.last) return;
  state.last = t.id;
  state.history.unshift(t);
  state.history.length = Math.min(state.history.length, HISTORY_SHOWN);
  const key = `${t.agent} ${t.fingerprint}`;
  if (t.state === "firing") {
    state.alerts.set(key, t);
  } else if (t.state === "resolved" && state.alerts.has(key)) {
    state.alerts.set(key, t);
    setTimeout(() => {
      if (state.alerts.get(key) === t) { state.alerts.delete(key); drawAlerts(); }
    }, FADE_MS);
  }
  drawAlerts();
  drawHistory();
}

// Runs at most once in a while, and always after the last call.
function calm(work, ms) {
  let waiting = false;
  return () => {
    if (waiting) return;
    waiting = true;
    setTimeout(async () => {
      waiting = false;
      try { await work(); } catch (error) { if (error instanceof Refused) setLink(error.message, false); }
    }, ms);
  };
}

const drawAlerts = calm(() => showAlerts(), 50);
const drawHistory = calm(() => showHistory(), 100);
const refreshAgents = calm(async () => { state.agents = await read("/agents"); showAgents(); showRollout(); showAlerts(); }, 250);
const refreshSets = calm(async () => { state.sets = await read("/rulesets"); showSets(); await loadRollout(); }, 150);

// --- alerts -------------------------------------------------------------------------------------

function showAlerts() {
  const all = [...state.alerts.values()].sort((a, b) => (a.state === "resolved") - (b.state === "resolved") || b.id - a.id);
  const firing = all.filter((alert) => alert.state === "firing").length;
  $("count-firing").textContent = firing;
  document.title = firing ? `(${firing}) Weir` : "Weir";
  $("firing").replaceChildren(...all.map(alertCard));
  $("firing-empty").hidden = all.length > 0;
}

// A reason as people say it.
function spoken(reason) {
  return reason.replaceAll("_", " ");
}

// The node's clock was wrong when this was recorded.
function clockTag(t) {
  const off = t.skew_ms === undefined ? "" : `, ${Math.round(t.skew_ms / 1000)} s from the hub's`;
  return el("span", { class: "tag", title: `The agent did not trust its clock${off}: its times may be wrong.` }, "clock doubted");
}

// The hub set itself right by what the agent says is up.
function repairTag() {
  return el("span", { class: "tag", title: "The agent did not send this as it happened: the hub set itself right by what the agent says is up." }, "reconciled");
}

function alertCard(t) {
  const ended = t.state === "resolved";
  // Nothing new can be heard of it while its agent is away.
  const away = !ended && state.agents.some((agent) => agent.agent === t.agent && !agent.connected);
  return el("li", { class: `card ${ended ? "ended" : away ? "stale" : "firing"}` },
    el("div", { class: "top" },
      el("b", {}, t.rule), tag(ended ? `resolved: ${spoken(t.reason)}` : t.severity || "firing", ended ? "resolved" : t.severity),
      !ended && t.reason ? tag(spoken(t.reason)) : null, t.clock_doubted ? clockTag(t) : null, t.epoch === "hub" ? repairTag() : null,
      away ? el("span", { class: "tag pending", title: "Its agent is not connected: nothing new is heard of it." }, "stale") : null,
      el("span", { class: "soft" }, `${t.agent} · ${t.ruleset}`),
      el("span", { class: "soft push-right" }, "since ", when(t.starts_at))),
    t.annotations.summary ? el("p", {}, t.annotations.summary) : null,
    el("div", { class: "tags" },
      ...ownLabels(t).map(([name, value]) => tag(`${name} = ${value}`)),
      ...ownValues(t).map((value) => el("span", { class: "tag mono" }, value))));
}

function showHistory() {
  $("history-empty").hidden = state.history.length > 0;
  $("history").replaceChildren(...state.history.map((t) => el("tr", {},
    el("td", {}, when(t.occurred_at)),
    el("td", {}, tag(t.state, t.state === "resolved" ? "resolved" : t.severity), t.reason ? el("div", { class: "soft" }, spoken(t.reason)) : null, t.clock_doubted ? clockTag(t) : null, t.epoch === "hub" ? repairTag() : null),
    el("td", {}, t.rule, el("div", { class: "soft" }, [t.agent, ...ownLabels(t).map(([name, value]) => `${name}=${value}`)].join(" "))),
    el("td", {}, t.annotations.summary, el("div", { class: "soft mono" }, ownValues(t).join("  "))))));
}

// --- agents -------------------------------------------------------------------------------------

function showAgents() {
  $("count-connected").textContent = state.agents.filter((agent) => agent.connected).length;
  $("fleet-empty").hidden = state.agents.length > 0;
  $("fleet").replaceChildren(...state.agents.map(agentCard));
}

function agentCard(agent) {
  const link = agent.connected ? (agent.stale ? "stale" : "connected") : "away";
  const refused = agent.sets.some((set) => set.progress === "refused" || set.progress === "failed");
  const sources = agent.status ? agent.status.sources : [];
  const unmanaged = agent.running.filter((set) => !agent.sets.some((desired) => desired.name === set.name));
  const lost = agent.gaps.filter((gap) => !gap.evicted).reduce((sum, gap) => sum + gap.last - gap.first + 1, 0);
  const evicted = agent.gaps.filter((gap) => gap.evicted).reduce((sum, gap) => sum + gap.last - gap.first + 1, 0);
  return el("li", { class: `card ${link} ${refused ? "refused" : ""}` },
    el("div", { class: "top" },
      el("b", {}, agent.agent), tag(link, link === "connected" ? "running" : "pending"),
      el("span", { class: "soft" }, agent.version),
      el("span", { class: "soft push-right", title: agent.last_seen }, agent.connected && !agent.stale ? `${agent.transitions} transitions` : `last seen ${since(agent.last_seen)}`)),
    el("div", { class: "tags" },
      ...pairs(agent.labels).map(([name, value]) => tag(`${name} = ${value}`)),
      ...sources.map((source) => el("span", { class: `tag ${source.connected ? "running" : "refused"}`, title: source.error }, `${source.name}: ${source.connected ? "up" : source.error || "down"}`)),
      lost ? tag(`${lost} transitions lost`, "refused") : null,
      evicted ? tag(`${evicted} given up by a full spool`, "pending") : null,
      ...agent.drops.filter((drop) => drop.by === "agent").map((drop) => el("span", { class: "tag pending", title: drop.what }, `${number(drop.count)} ${drop.means}`))),
    ...agent.incidents.map(incidentLine),
    agent.status ? figures(agent.status) : null,
    ...agent.sets.map(setLine),
    ...unmanaged.map((set) => el("p", { class: "soft" }, `${set.name}: ${set.rules} rules from ${set.origin}`)));
}

// What went wrong with an agent, as a person should know it.
function incidentLine(incident) {
  const often = incident.times > 1 ? `, ${incident.times} times` : "";
  return el("p", { class: incident.kind === "reconciled" ? "soft" : "bad" },
    tag(spoken(incident.kind), "refused"), " ", when(incident.last_at), `${often}: ${incident.note}`);
}

function figures(status) {
  const of = (name) => figure(status.metrics, name);
  const rejects = of("weir_rejects_total");
  const waiting = of("weir_spool_waiting");
  const told = [
    `${of("weir_messages_total")} readings in, ${bytes(of("weir_message_bytes_total"))}`,
    `${bytes(of("weir_link_sent_bytes_total"))} out`,
    rejects ? `${rejects} rejected` : "",
    waiting ? `${waiting} waiting` : "",
    `memory ${bytes(of("weir_resident_bytes"))}`,
    `up ${span(status.uptime_seconds)}`,
  ];
  return el("p", { class: "soft", title: `as of ${status.time}` }, told.filter(Boolean).join(" · "));
}

function setLine(set) {
  const runs = set.running_revision;
  const says = set.progress === "running" ? `revision ${runs}` : `wants revision ${set.revision}, runs ${runs ? `revision ${runs}` : "nothing"}`;
  return el("div", {},
    el("p", {}, `${set.name} `, tag(set.progress, set.progress), el("span", { class: "soft" }, ` ${says}`)),
    ...set.diagnostics.map((finding) => el("p", { class: finding.level === "error" ? "bad" : "soft" }, sentence(finding))));
}

function sentence(finding) {
  const place = finding.field ? `${finding.field} ${finding.place.line}:${finding.place.column}` : `${finding.place.line}:${finding.place.column}`;
  return `${finding.item ? `${finding.item}, ` : ""}${place}: ${finding.message}${finding.hint ? ` (${finding.hint})` : ""}`;
}

// --- the rule editor ----------------------------------------------------------------------------

function showSets() {
  $("sets").replaceChildren(...state.sets.map((set) => el("li", {},
    el("button", { type: "button", "aria-current": set.name === state.open, on: ["click", () => openSet(set.name)] },
      set.name, el("small", {}, `revision ${set.revision} · ${set.rules.length} rules · ${set.target || "all agents"}`)))));
}

async function openSet(name) {
  const set = await read(`/rulesets/${encodeURIComponent(name)}`);
  if (isEdited() && !confirm("Leave the changes that were not pushed?")) return;
  state.open = name;
  $("set-name").value = name;
  $("set-target").value = set.target;
  $("source").value = $("source").dataset.saved = set.source;
  state.rollout = set.agents;
  showSets();
  showRollout();
  showFindings([]);
  check();
}

const isEdited = () => $("source").value !== ($("source").dataset.saved || "");

function freshSet() {
  if (isEdited() && !confirm("Leave the changes that were not pushed?")) return;
  state.open = null;
  state.rollout = null;
  for (const id of ["set-name", "set-target", "source"]) $(id).value = "";
  $("source").dataset.saved = "";
  showSets();
  showRollout();
  showFindings([]);
  say("");
  $("set-name").focus();
}

function say(text, kind) {
  $("verdict").textContent = text;
  $("verdict").className = kind || "";
}

async function check() {
  const turn = ++state.checks;
  const source = $("source").value;
  if (!source.trim()) { showFindings([]); say(""); return; }
  try {
    const response = await api("/check", { method: "POST", body: source });
    const answer = await response.json();
    // A later check has begun: this answer is about an older text.
    if (turn !== state.checks) return;
    if (!response.ok) { say(`${answer.error}; ${answer.hint}`, "bad"); return; }
    showFindings(answer.diagnostics);
    const errors = answer.diagnostics.filter((finding) => finding.level === "error").length;
    if (errors) say(errors === 1 ? "One error." : `${errors} errors.`, "bad");
    else say(`${answer.rules.length} ${answer.rules.length === 1 ? "rule" : "rules"}, no errors.`, "good");
  } catch (error) {
    if (turn === state.checks) say("The hub cannot be reached at the moment.", "bad");
  }
}

function showFindings(findings) {
  state.findings = findings;
  $("findings").replaceChildren(...findings.map((finding) => el("li", { class: finding.level },
    el("button", { type: "button", on: ["click", () => goTo(finding.place)] }, sentence(finding)))));
  showGutter();
}

function showGutter() {
  const marks = new Map();
  for (const finding of state.findings || []) {
    if (finding.level === "error" || !marks.has(finding.place.line)) marks.set(finding.place.line, finding.level);
  }
  const count = $("source").value.split("\n").length;
  const lines = [];
  for (let line = 1; line <= count; line++) {
    lines.push(marks.has(line) ? el("span", { class: marks.get(line) }, `● ${line}`) : String(line), "\n");
  }
  $("gutter").replaceChildren(...lines);
  $("gutter").scrollTop = $("source").scrollTop;
}

// Places count characters, the text area UTF-16 units.
function goTo(place) {
  const source = $("source");
  const lines = source.value.split("\n");
  const before = lines.slice(0, place.line - 1).reduce((sum, line) => sum + line.length + 1, 0);
  const line = [...(lines[place.line - 1] || "")];
  const units = (from, to) => line.slice(from, to).join("").length;
  const start = before + units(0, place.column - 1);
  source.focus();
  source.setSelectionRange(start, start + units(place.column - 1, place.column - 1 + place.length));
  const height = source.scrollHeight / Math.max(1, lines.length);
  source.scrollTop = Math.max(0, (place.line - 5) * height);
}

async function push() {
  const name = $("set-name").value.trim();
  if (!name || !$("set-name").checkValidity()) {
    say("A set needs a name of letters, digits, - _ or dots.", "bad");
    $("set-name").focus();
    return;
  }
  $("push").disabled = true;
  state.checks++;
  const source = $("source").value;
  try {
    const target = encodeURIComponent($("set-target").value.trim());
    const response = await api(`/rulesets/${encodeURIComponent(name)}?target=${target}`, { method: "PUT", body: source });
    const answer = await response.json();
    showFindings(answer.diagnostics || []);
    if (response.ok) {
      state.open = name;
      $("source").dataset.saved = source;
      const agents = answer.agents.length === 1 ? "one agent" : `${answer.agents.length} agents`;
      say(answer.changed ? `Revision ${answer.revision} is on its way to ${agents}.` : `Unchanged: revision ${answer.revision}, for ${agents}.`, "good");
      await loadRollout();
    } else {
      say(`${answer.error}; ${answer.hint}`, "bad");
    }
  } catch (error) {
    say(error instanceof Refused ? error.message : "The hub cannot be reached at the moment.", "bad");
  } finally {
    $("push").disabled = false;
  }
}

async function loadRollout() {
  if (!state.open) return;
  const response = await api(`/rulesets/${encodeURIComponent(state.open)}`);
  state.rollout = response.ok ? (await response.json()).agents : null;
  showRollout();
}

function showRollout() {
  const rows = state.open && state.rollout ? state.rollout : [];
  $("rollout").hidden = rows.length === 0;
  $("rollout-rows").replaceChildren(...rows.map((row) => el("tr", {},
    el("td", {}, row.agent),
    el("td", {}, row.connected ? "connected" : "away"),
    el("td", {}, tag(row.progress, row.progress)),
    el("td", {}, row.running_revision ? `revision ${row.running_revision}` : "–"),
    el("td", {}, ...row.diagnostics.map((finding) => el("div", { class: finding.level === "error" ? "bad" : "soft" }, sentence(finding)))))));
}

// --- start --------------------------------------------------------------------------------------

let typing;
$("source").addEventListener("input", () => {
  showGutter();
  clearTimeout(typing);
  typing = setTimeout(check, CHECK_AFTER_MS);
});
$("source").addEventListener("scroll", () => { $("gutter").scrollTop = $("source").scrollTop; });
$("push").addEventListener("click", push);
$("fresh").addEventListener("click", freshSet);
// "Last seen" grows old without an event.
setInterval(showAgents, 10000);

enter().then(live);
