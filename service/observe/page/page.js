// Fills the page with what the service sends at /live. Text from outside is only ever set as text.

import {Timeline, clock} from "./timeline.js";

const MOST_ALERTS = 200;
const SILENT_MS = 5_000; // the service sends something every second
const AGAIN_MS = [500, 1_000, 2_000, 3_000];

const byId = (id) => document.getElementById(id);
const still = matchMedia("(prefers-reduced-motion: reduce)");
const timeline = new Timeline(byId("timeline"));
const state = {about: null, status: null, samples: [], alerts: [], skewMs: 0, heardMs: 0, lostMs: null, tries: 0};

// ---- text ------------------------------------------------------------------------------------------------------

// The exact digits of a number, as they were sent: a float would round money.
const EXACT = new Set(["amount", "limit", "value", "peak"]);
const parse = (text) => JSON.parse(text, (key, value, context) => EXACT.has(key) && typeof value === "number" && context?.source ? context.source : value);

// Characters that would be invisible, or turn the text after them round, as their code.
const HIDDEN = /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]/g;
const visible = (text) => String(text).replace(HIDDEN, (one) => `\\u${one.charCodeAt(0).toString(16).padStart(4, "0")}`);

const count = (number) => Number(number).toLocaleString("en");
const plural = (number, one, many = `${one}s`) => `${count(number)} ${number === 1 ? one : many}`;

function amount(text) {
  const plain = String(text);
  if (!/^-?\d+(\.\d+)?$/.test(plain)) return plain;
  const [whole, part] = plain.split(".");
  return whole.replace(/\B(?=(\d{3})+$)/g, "\u202f") + (part && part !== "0" ? `.${part}` : "");
}

function duration(ms) {
  const seconds = Math.abs(ms) / 1000;
  if (seconds < 9.95) return `${(Math.abs(ms) / 1000).toFixed(1)} s`;
  if (seconds < 90) return `${Math.round(seconds)} s`;
  if (seconds < 5_400) return `${Math.round(seconds / 60)} min`;
  if (seconds < 129_600) return `${Math.round(seconds / 3_600)} h`;
  if (seconds < 63_072_000) return `${Math.round(seconds / 86_400)} d`;
  return `${(seconds / 31_557_600).toFixed(1)} y`;
}

function moment(ms) {
  if (ms === null) return "–";
  const far = Math.abs(ms - now()) > 43_200_000;
  return far ? `${new Date(ms).toLocaleDateString("en-CA")} ${clock(ms)}` : clock(ms, 1);
}

// A span within a day; milliseconds only where the span has some.
function span(start, end) {
  const digits = start % 1000 || end % 1000 ? 3 : 0;
  const day = Math.abs(start - now()) > 43_200_000 ? `${new Date(start).toLocaleDateString("en-CA")} ` : "";
  return `${day}${clock(start, digits)} – ${clock(end, digits)}`;
}

function set(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function put(id, text, kind = "") {
  const element = byId(id);
  set(element, text);
  if (element.dataset.kind !== kind) {
    element.classList.remove("bad", "warm");
    if (kind) element.classList.add(kind);
    element.dataset.kind = kind;
  }
}

function make(parent, name, kind = "", text = "") {
  const element = document.createElement(name);
  if (kind) element.className = kind;
  if (text) element.textContent = text;
  parent.append(element);
  return element;
}

const now = () => Date.now() + state.skewMs;

// ---- the connection --------------------------------------------------------------------------------------------

let source = null;

function connect() {
  source = new EventSource("live");
  source.addEventListener("hello", (event) => greet(JSON.parse(event.data)));
  source.addEventListener("about", (event) => {
    Object.assign(state.about, JSON.parse(event.data));
    heard(() => aboutCame(state.about));
  });
  source.addEventListener("alert", (event) => heard(() => queue(event.data)));
  source.addEventListener("status", (event) => heard(() => statusCame(JSON.parse(event.data))));
  source.onerror = () => { lost(); again(); };
}

let timer = null;

function again() {
  source.close();
  clearTimeout(timer);
  timer = setTimeout(connect, AGAIN_MS[Math.min(state.tries++, AGAIN_MS.length - 1)]);
}

function heard(then) {
  state.heardMs = performance.now();
  then();
}

function greet(about) {
  const restarted = state.about && state.about.started !== about.started;
  Object.assign(state, {about, samples: about.samples, alerts: [], tries: 0, fresh: true});
  queued = [];
  byId("alert-list").replaceChildren();
  if (state.lostMs !== null) {
    byId("trouble").hidden = true;
    set(byId("news"), restarted ? "Connected again. The service was restarted." : "Connected again.");
    state.back = {restarted, untilMs: performance.now() + 8_000};
  }
  state.lostMs = null;
  document.body.classList.remove("stale");
  heard(() => aboutCame(about));
}

function lost() {
  if (state.lostMs === null) state.lostMs = Date.now();
  const trouble = byId("trouble");
  trouble.hidden = false;
  trouble.dataset.state = "bad";
  set(trouble, `The connection to the service is lost since ${clock(state.lostMs)}. What is shown is of that time; the page connects again by itself.`);
  document.body.classList.add("stale");
  pill("link", "bad", "Reconnecting…");
  pill("health", "wait", "Unknown");
}

function pill(id, kind, text) {
  byId(id).dataset.state = kind;
  set(byId(`${id}-text`), text);
}

setInterval(() => {
  if (state.heardMs && state.lostMs === null && performance.now() - state.heardMs > SILENT_MS) { lost(); again(); }
  refreshAges();
}, 1_000);

// ---- what came -------------------------------------------------------------------------------------------------

function aboutCame(about) {
  set(byId("version"), `txwatch ${about.version}`);
  const says = {
    processing: `Windows of ${duration(about.window_ms)} of the wall clock. The watermark is the newest event time less ${duration(about.lateness_ms)}.`,
    ingestion: `Windows of ${duration(about.window_ms)} of the broker's clock. The watermark is the newest event time less ${duration(about.lateness_ms)}.`,
    event: `Windows of ${duration(about.window_ms)} of event time. A window closes when the watermark, ${duration(about.lateness_ms)} behind the newest event time, passes its end.`,
  };
  set(byId("time-says"), says[about.clock]);
  set(byId("windows-says"), {
    processing: "A window closes when the wall clock passes its end.",
    ingestion: "A window closes when a record of a later one arrives, or by the wall clock once all is read.",
    event: "A window closes when its partition's watermark passes its end.",
  }[about.clock]);
  set(byId("no-episodes"), about.detectors.some((one) => one.episodes) ? "No open episode." : "No detector reports episodes (resolve_after).");
}

function statusCame(status) {
  // The least delay is the nearest to the truth: a message may come late, and never early.
  const skewMs = status.now - Date.now();
  state.skewMs = state.fresh || skewMs > state.skewMs ? skewMs : state.skewMs + (skewMs - state.skewMs) * 0.02;
  state.fresh = false;
  state.status = status;
  const last = state.samples.at(-1);
  if (status.sample && (!last || status.sample[0] > last[0])) state.samples.push(status.sample);
  if (state.samples.length > 240) state.samples.splice(0, state.samples.length - 240);
  showHealth(status);
  showFigures(status);
  showWindows(status);
  showEpisodes(status);
  showDetectors(status);
  showPartitions(status);
}

function showHealth(status) {
  const {about} = state;
  const owned = status.partitions.length, of = status.in_topic === null ? plural(owned, "partition") : `${count(owned)} of ${plural(status.in_topic, "partition")}`;
  set(byId("whose"), `instance ${visible(about.instance)} · ${of} of ${visible(about.topic)} · group ${visible(about.group)}`);
  const dead = status.silent_s !== null ? `the loop has stood still for ${status.silent_s} s` : status.stuck;
  const notice = status.throttled ? `A broker's quota slows it down: ${status.throttled}` : "";
  pill("health", dead ? "bad" : status.ready ? "good" : "wait", dead ? "Not healthy" : status.ready ? "Ready" : "Not ready");
  const back = state.back && performance.now() < state.back.untilMs ? state.back : null;
  pill("link", "good", back ? (back.restarted ? "Connected again: the service was restarted" : "Connected again") : "Live");
  const trouble = byId("trouble"), line = dead || status.reason || notice;
  trouble.hidden = !line;
  trouble.dataset.state = dead ? "bad" : "wait";
  set(trouble, line ? visible(dead ? `Not healthy: ${dead}` : status.reason ? `Not ready: ${status.reason}` : notice) : "");
  document.title = `${dead || !status.ready ? "! " : ""}txwatch · ${visible(about.instance)}`;
}

function rates() {
  return state.samples.slice(1).map(([at, records, late], index) => {
    const [before, earlier, lateBefore] = state.samples[index];
    const seconds = Math.max(0.05, (at - before) / 1000);
    return {rate: (records - earlier) / seconds, late: (late - lateBefore) / seconds};
  });
}

const newestWatermark = (status) => status.partitions.reduce((most, one) => one.watermark !== null && (most === null || one.watermark > most) ? one.watermark : most, null);

function showFigures(status) {
  const all = rates(), recent = all.slice(-3), rate = recent.length ? recent.reduce((sum, one) => sum + one.rate, 0) / recent.length : 0;
  put("rate", rate >= 9.5 || rate === 0 ? count(Math.round(rate)) : rate.toFixed(1));
  const [, records, late] = state.samples.at(-1) || [0, 0, 0];
  put("rate-sub", `${count(records)} since the start`);
  const shown = all.slice(-60), most = Math.max(1, ...shown.map((one) => one.rate));
  const points = shown.map((one, index) => `${(120 * (index + 60 - shown.length) / 59).toFixed(1)} ${(30 - 27 * one.rate / most).toFixed(1)}`);
  const [area, line] = byId("spark").children;
  line.setAttribute("d", points.length > 1 ? `M${points.join("L")}` : "");
  area.setAttribute("d", points.length > 1 ? `M${points[0].split(" ")[0]} 32L${points.join("L")}L120 32z` : "");
  const watermark = status.watermark ?? newestWatermark(status), posted = status.posted ?? status.now;
  put("delay", watermark === null ? "–" : duration(posted - watermark));
  put("delay-sub", watermark === null ? "no record yet" : status.watermark === null ? "every partition is idle" : "behind the wall clock");
  const lags = status.partitions.map((one) => one.lag), known = lags.filter((one) => one !== null);
  const lag = known.reduce((sum, one) => sum + one, 0);
  put("lag", known.length ? (known.length < lags.length ? `≥ ${count(lag)}` : count(lag)) : "–", lag > Math.max(1000, 5 * rate) ? "warm" : "");
  put("late", count(late), recent.some((one) => one.late > 0) ? "warm" : "");
  put("late-sub", records ? `${(100 * late / records).toFixed(late ? 2 : 0)} % of all${status.rejected ? ` · ${count(status.rejected)} rejected` : ""}` : "of none");
  put("alert-count", count(status.alerts), status.alerts ? "bad" : "");
  put("alert-sub", "since the start");
  refreshAges();
}

function refreshAges() {
  const {status} = state;
  if (!status) return;
  if (state.lostMs === null) {
    put("commit", status.committed === null ? "–" : `${duration(Math.max(0, now() - status.committed))}`);
    put("commit-sub", status.committed === null ? "nothing committed yet" : `ago, at ${clock(status.committed)}`);
  }
  for (const one of byId("alert-list").querySelectorAll("[data-at]")) set(one, ago(Number(one.dataset.at)));
}

const ago = (ms) => now() - ms < 1_500 ? "just now" : `${duration(Math.round((now() - ms) / 1000) * 1000).replace(".0", "")} ago`;

function eachOf(list, things, key, create, update) {
  // Elements are kept by key, so that nothing flickers, and scroll and focus stay.
  const there = new Map([...list.children].map((element) => [element.dataset.key, element]));
  let place = list.firstElementChild;
  for (const thing of things) {
    const name = String(key(thing));
    let element = there.get(name);
    there.delete(name);
    if (!element) {
      element = create(thing);
      element.dataset.key = name;
    }
    if (element === place) place = place.nextElementSibling; else list.insertBefore(element, place);
    update(element, thing);
  }
  for (const element of there.values()) element.remove();
}

function showWindows(status) {
  const byEvent = state.about.clock === "event";
  eachOf(byId("windows"), status.windows.length ? status.windows : [null], (one) => one ? one.start : "none", (one) => {
    const item = document.createElement("li");
    if (!one) { item.className = "none"; item.textContent = "No window is open: one opens with the next record."; return item; }
    make(item, "b");
    make(make(item, "div", "track"), "i");
    make(item, "small");
    return item;
  }, (item, one) => {
    if (!one) return;
    const [title, track, small] = item.children;
    set(title, span(one.start, one.end));
    const upTo = byEvent ? status.watermark ?? newestWatermark(status) : now();
    const part = upTo === null ? 0 : Math.min(1, Math.max(0, (upTo - one.start) / (one.end - one.start)));
    track.firstElementChild.style.transform = `scaleX(${part.toFixed(3)})`;
    set(small, `${plural(one.keys, "key")} in ${plural(one.partitions, "partition")} · ${part >= 1 ? "closing" : `${Math.round(part * 100)} %`}`);
  });
}

function detail(parent, name, value) {
  const part = make(parent, "span", "", `${name} `);
  make(part, "b", "", value);
}

// Alerts may come by the thousand: those that would leave the list at once are not put into it.
let queued = [], flushing = null;

function queue(text) {
  queued.push(text);
  if (queued.length > 2 * MOST_ALERTS) queued = queued.slice(-MOST_ALERTS);
  flushing ??= setTimeout(() => {
    const texts = queued.slice(-MOST_ALERTS);
    [queued, flushing] = [[], null];
    for (const one of texts) alertCame(parse(one));
    state.alerts.length = Math.min(state.alerts.length, 1_000);
  }, 30);
}

function alertCame(alert) {
  state.alerts.unshift({at: alert.window.end, status: alert.status});
  const item = document.createElement("li"), list = byId("alert-list");
  item.className = `alert ${alert.status || ""} ${state.fresh ? "" : "new"}`;
  const silent = alert.count === 0;
  const id = make(item, "p", "id", alert.transaction_id === "" ? "(the whole partition or topic)" : visible(alert.transaction_id));
  id.dir = "auto";
  id.title = visible(alert.transaction_id);
  make(item, "p", "sum", silent ? `silent for ${duration(Number(alert.limit))}` : amount(alert.value ?? alert.amount));
  const what = make(item, "p");
  make(what, "span", "tag", alert.detector);
  what.append(alert.status === "open" ? " · an episode begins" : alert.status === "resolved" ? ` · resolved after ${plural(alert.windows, "window")}, peak ${amount(alert.peak)}` : alert.of ? ` · ${alert.of}` : "");
  const limit = Number(alert.limit), value = Number(alert.value ?? alert.amount);
  const times = !silent && !alert.status?.startsWith("resolved") && limit > 0 && value >= 1.005 * limit ? ` · ${value < 1000 * limit ? (value / limit).toFixed(value < 10 * limit ? 2 : 0) : "over 1,000"}×` : "";
  make(item, "p", "far", silent ? "" : `limit ${amount(alert.limit)}${times}`);
  const more = make(item, "p", "more");
  make(more, "span", "", ago(alert.detected_at)).dataset.at = alert.detected_at;
  detail(more, "watermark", moment(alert.watermark));
  detail(more, "window", span(alert.window.start, alert.window.end));
  if (!silent) detail(more, plural(alert.count, "record").replace(/^[^ ]+ /, ""), `${count(alert.count)}${alert.late_count ? ` (${count(alert.late_count)} late)` : ""}`);
  detail(more, "partition", String(alert.source.partition));
  list.prepend(item);
  while (list.children.length > MOST_ALERTS) list.lastElementChild.remove();
  byId("no-alerts").hidden = true;
  set(byId("alerts-says"), `the latest ${count(list.children.length)}`);
  if (!state.fresh) announce(alert);
}

let announced = 0;

function announce(alert) {
  // A reader of screens hears one in two seconds at most: an alarm of thousands must not talk for an hour.
  if (performance.now() - announced < 2_000) return;
  announced = performance.now();
  set(byId("news"), `Alert: ${visible(alert.transaction_id)}, ${amount(alert.value ?? alert.amount)}, by ${alert.detector}`);
}

function showEpisodes(status) {
  const {episodes} = status;
  set(byId("episodes-says"), status.open_episodes ? `${count(status.open_episodes)} open` : "");
  byId("no-episodes").hidden = episodes.length > 0;
  eachOf(byId("episodes"), episodes, (one) => one.episode_id, () => {
    const item = document.createElement("li");
    item.className = "episode";
    make(item, "p", "id").dir = "auto";
    make(item, "p", "sum");
    make(item, "p");
    make(item, "p", "far");
    make(item, "p", "more");
    return item;
  }, (item, one) => {
    const [id, sum, what, far, more] = item.children;
    set(id, visible(one.transaction_id));
    set(sum, amount(one.amount));
    set(what, `${one.detector}${one.shadow ? " (shadow)" : ""} · ${plural(one.windows, "window")}, ${plural(one.quiet, "quiet one")} since`);
    set(far, `limit ${amount(one.limit)}`);
    set(more, `peak ${amount(one.peak)} · watermark ${moment(one.watermark)} · window ${span(one.window[0], one.window[1])}`);
  });
}

function showDetectors(status) {
  eachOf(byId("detectors"), state.about.detectors, (one) => one.name, (one) => {
    const item = document.createElement("li"), name = make(item, "div");
    make(name, "b", "", one.name);
    if (one.shadow) make(name, "span", "shadowed", "shadow");
    make(item, "div", "n");
    const about = [one.type, `of the ${one.of}`];
    if (one.limit) about.push(`limit ${amount(one.limit)}`);
    if (one.episodes) about.push("episodes");
    make(item, "small", "", about.join(" · "));
    make(item, "small", "", one.shadow ? "found, not alerted" : "anomalies");
    return item;
  }, (item, one) => set(item.children[1], count(status.found[one.name] ?? 0)));
}

const blocked = (one) => one.blocked_ms !== null;
const trailing = (one) => (one.lag ?? 0) > 0;

function showPartitions(status) {
  const only = byId("only").checked, all = status.partitions;
  const shown = only ? all.filter((one) => trailing(one) || blocked(one) || one.late > 0) : all;
  const idle = all.filter((one) => one.idle).length, held = all.filter(blocked).length;
  set(byId("partitions-says"), [plural(all.length, "partition"), `${count(idle)} idle`, held ? `${count(held)} blocked` : "", shown.length < all.length ? `${count(shown.length)} shown` : ""].filter(Boolean).join(" · "));
  byId("no-partitions").hidden = all.length > 0;
  const posted = status.posted ?? status.now;
  eachOf(byId("partitions"), shown, (one) => one.partition, () => {
    const row = document.createElement("tr");
    const head = make(row, "td");
    for (let at = 0; at < 5; at += 1) make(row, "td");
    make(make(row, "td"), "span", "state");
    head.dataset.head = "";
    return row;
  }, (row, one) => {
    const cells = row.children, behind = one.watermark === null ? null : posted - one.watermark;
    set(cells[0], String(one.partition));
    set(cells[1], moment(one.watermark));
    set(cells[2], behind === null ? "–" : duration(behind));
    set(cells[3], one.lag === null ? "?" : count(one.lag));
    cells[3].className = trailing(one) ? "warm" : "";
    set(cells[4], count(one.late));
    cells[4].className = one.late ? "warm" : "";
    set(cells[5], count(one.keys));
    const kind = blocked(one) ? "blocked" : one.idle ? "idle" : trailing(one) ? "behind" : "";
    const label = cells[6].firstElementChild;
    label.className = `state ${kind}`;
    set(label, blocked(one) ? `blocked for ${duration(one.blocked_ms)}: ${one.waits_for}` : one.idle ? "idle" : trailing(one) ? "catching up" : "up to date");
  });
}

byId("only").addEventListener("change", () => state.status && showPartitions(state.status));

// ---- the time line ---------------------------------------------------------------------------------------------

function alertsByWindow() {
  const found = new Map();
  for (const one of state.alerts) if (one.status !== "resolved") found.set(one.at, (found.get(one.at) ?? 0) + 1);
  return [...found].slice(0, 60).map(([at, number]) => ({at, count: number}));
}

function frame() {
  const {about, status} = state;
  if (about && status && state.lostMs === null && document.visibilityState === "visible") {
    const at = now(), newest = newestWatermark(status), least = status.watermark ?? newest;
    // Between two messages the marks keep their distance while records come, and fall behind when none do.
    const flows = rates().slice(-2).some((one) => one.rate > 0);
    const since = flows && status.posted !== null ? Math.min(1_500, Math.max(0, at - status.posted)) : 0;
    const view = {
      now: at, windowMs: about.window_ms, windowClock: about.clock, windows: status.windows, samples: state.samples, alerts: alertsByWindow(),
      eventMs: newest === null ? null : newest + about.lateness_ms + since, watermarkMs: least === null ? null : least + since,
    };
    timeline.draw(view, !still.matches);
    set(byId("at-wall"), clock(at, 1));
    set(byId("at-event"), moment(newest === null ? null : newest + about.lateness_ms));
    set(byId("at-watermark"), moment(least));
    const posted = status.posted ?? at;
    set(byId("sub-event"), newest === null ? "no record yet" : distance(posted - newest - about.lateness_ms, "the wall clock"));
    set(byId("sub-watermark"), least === null ? "no record yet" : distance(newest + about.lateness_ms - least, "the newest event time"));
  }
  if (still.matches) setTimeout(frame, 1_000); else requestAnimationFrame(frame);
}

const distance = (ms, of) => Math.abs(ms) < 50 ? `keeps up with ${of}` : `${duration(ms)} ${ms > 0 ? "behind" : "ahead of"} ${of}`;

connect();
frame();
