// The time line: windows, records a second, and three marks. It draws what page.js hands it and knows no connection.
//
// The wall clock stays where it is and time moves to the left. Where event time is far from the wall clock (a replay of
// old records), its lane has a scale of its own, on which the newest event time stands at the wall clock's place.

const SVG = "http://www.w3.org/2000/svg";
const NOW_AT = 0.8; // of the width
const FAR_MS = 60_000; // event time further away than this has its own scale
const LANES = {event: {y: 30, height: 62}, wall: {y: 122, height: 86}};

function make(parent, name, attributes = {}, text = null) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text !== null) element.textContent = text;
  parent.append(element);
  return element;
}

export function clock(ms, digits = 0) {
  const at = new Date(ms);
  const two = (number) => String(number).padStart(2, "0");
  const plain = `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
  return digits ? `${plain}.${String(at.getMilliseconds()).padStart(3, "0").slice(0, digits)}` : plain;
}

export class Timeline {
  constructor(home) {
    this.home = home;
    this.svg = make(home, "svg", {"aria-hidden": "true", focusable: "false"});
    const hatch = make(make(this.svg, "defs"), "pattern", {id: "hatch", width: 6, height: 6, patternUnits: "userSpaceOnUse"});
    make(hatch, "path", {d: "M-1 7 7 -1M-1 1 1 -1M5 7 7 5"});
    this.scene = make(this.svg, "g");
    this.marks = make(this.svg, "g");
    this.shown = {event: null, watermark: null};
    new ResizeObserver(() => { this.width = home.clientWidth; this.shown = {event: null, watermark: null}; }).observe(home);
    this.width = home.clientWidth;
    this.drawn = 0;
  }

  // `view`: now, windowMs, windowClock, windows [{start, end, keys}], samples [[ms, records, late]], eventMs,
  // watermarkMs, alerts [{at, count}]. `smooth`: whether marks glide to their places.
  draw(view, smooth) {
    const width = this.width || 300;
    this.svg.setAttribute("viewBox", `0 0 ${width} 236`);
    const span = Math.max(12_000, view.windowMs * (width < 600 ? 2.1 : 3.7));
    const perMs = width / span, nowX = width * NOW_AT;
    const onWall = (ms) => nowX + (ms - view.now) * perMs;
    const far = view.eventMs !== null && Math.abs(view.eventMs - view.now) > Math.max(FAR_MS, span);
    const onEvent = far ? (ms) => nowX + (ms - view.eventMs) * perMs : onWall;
    const byEvent = view.windowClock === "event";
    this.scene.replaceChildren();
    this.lane("event", byEvent, onEvent, view, perMs, width, far);
    this.lane("wall", !byEvent, onWall, view, perMs, width, false);
    if (byEvent) this.alerts("event", onEvent, view, width); else this.alerts("wall", onWall, view, width);
    this.placeMarks(view, onEvent, nowX, width, far, smooth);
  }

  lane(name, hasWindows, place, view, perMs, width, far) {
    const {y, height} = LANES[name], scene = this.scene, size = view.windowMs;
    const from = view.now + (0 - place(view.now)) / perMs, until = from + width / perMs;
    if (hasWindows && size * perMs > 6) {
      const open = new Map(view.windows.map((one) => [one.start, one]));
      for (let start = Math.floor(from / size) * size; start < until; start += size) {
        const x = place(start), right = place(start + size), one = open.get(start);
        const until = name === "event" ? view.watermarkMs : view.now;
        const current = one || (name === "wall" && start <= view.now && view.now < start + size);
        make(scene, "rect", {class: one ? "band open" : "band", x: x + 1.5, y, width: Math.max(0, right - x - 3), height, rx: 6});
        if (current && until !== null && until > start) {
          make(scene, "rect", {class: "fill", x: x + 2.5, y: y + 1, width: Math.max(0, Math.min(right - 2.5, place(until)) - x - 2.5), height: height - 2, rx: 5});
        }
        if (one && right - x > 90) make(scene, "text", {class: "open-note", x: Math.max(x, 0) + 10, y: y + 17}, `${one.keys.toLocaleString("en")} ${one.keys === 1 ? "key" : "keys"}`);
      }
    } else {
      make(scene, "rect", {class: "band", x: 0, y, width, height, rx: 6});
    }
    if (name === "wall") this.bars(place, view, perMs);
    const step = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 21600, 86400].map((s) => s * 1000).find((ms) => ms * perMs > 86) || 86_400_000;
    for (let at = Math.ceil(from / step) * step; at < until; at += step) {
      const x = place(at);
      make(scene, "line", {class: "rule", x1: x, x2: x, y1: y + height, y2: y + height + 4});
      if (x > 30 && x < width - 30) make(scene, "text", {x, y: y + height + 15, "text-anchor": "middle"}, clock(at));
    }
    const title = name === "event" ? (far ? "event time, on its own scale" : "event time") : "wall clock";
    make(scene, "text", {class: "name", x: 4, y: y - 8}, title);
    if (name === "event" && view.watermarkMs !== null) {
      const x = Math.min(width, place(view.watermarkMs));
      if (x > 0) {
        make(scene, "rect", {class: "behind", x: 0, y, width: x, height, rx: 6});
        if (x > 190) make(scene, "text", {class: "late-note", x: x - 8, y: y + height - 9, "text-anchor": "end"}, "a record from here is late");
      }
      if (view.eventMs !== null) make(scene, "rect", {class: "lateness", x, y, width: Math.max(0, place(view.eventMs) - x), height});
    }
  }

  bars(place, view, perMs) {
    const {y, height} = LANES.wall, room = height - 26;
    const bars = view.samples.slice(1).map(([at, records, late], index) => {
      const [before, earlier, lateBefore] = view.samples[index];
      const seconds = Math.max(0.05, (at - before) / 1000);
      return {from: before, until: at, rate: (records - earlier) / seconds, late: (late - lateBefore) / seconds};
    }).filter((one) => place(one.until) > 0);
    const most = Math.max(1, ...bars.map((one) => one.rate));
    for (const one of bars) {
      const x = place(one.from) + 1, wide = Math.max(1, (one.until - one.from) * perMs - 2);
      const all = one.rate > 0 ? Math.max(2, room * one.rate / most) : 0, late = Math.min(all, one.late > 0 ? Math.max(2, room * one.late / most) : 0);
      if (all > late) make(this.scene, "rect", {class: "bar", x, y: y + height - 2 - all + late, width: wide, height: all - late, rx: Math.min(2, wide / 2)});
      if (late) make(this.scene, "rect", {class: "bar late", x, y: y + height - 2 - all, width: wide, height: late, rx: Math.min(2, wide / 2)});
    }
  }

  alerts(name, place, view, width) {
    const {y} = LANES[name];
    for (const one of view.alerts) {
      const x = place(one.at);
      if (x < 0 || x > width) continue;
      const group = make(this.scene, "g", {class: "alert"});
      make(group, "path", {d: `M${x} ${y - 13}l7 7-7 7-7-7z`});
      if (one.count > 1) make(group, "text", {x: x + 10, y: y - 2}, String(one.count));
    }
  }

  placeMarks(view, onEvent, nowX, width, far, smooth) {
    const at = performance.now(), part = 1 - Math.exp((this.drawn - at) / 180);
    this.drawn = at;
    const glide = (name, target) => {
      const before = this.shown[name];
      const x = !smooth || before === null || Math.abs(target - before) > width ? target : before + (target - before) * part;
      this.shown[name] = x;
      return x;
    };
    this.marks.replaceChildren();
    const {event, wall} = LANES, bottom = wall.y + wall.height;
    const end = far ? event.y + event.height : bottom;
    if (view.watermarkMs !== null) {
      const x = glide("watermark", onEvent(view.watermarkMs)), group = make(this.marks, "g", {class: "watermark"});
      make(group, "line", {x1: x, x2: x, y1: event.y - 4, y2: end});
      make(group, "path", {d: `M${x} ${event.y - 14}l6 6-6 6-6-6z`});
    }
    if (view.eventMs !== null) {
      const x = glide("event", onEvent(view.eventMs)), group = make(this.marks, "g", {class: "event"});
      make(group, "line", {x1: x, x2: x, y1: event.y - 4, y2: end});
      make(group, "circle", {cx: x, cy: event.y - 8, r: 5});
    }
    const group = make(this.marks, "g", {class: "wall"});
    make(group, "line", {x1: nowX, x2: nowX, y1: far ? wall.y - 8 : event.y - 4, y2: bottom + 2});
    make(group, "path", {d: `M${nowX} ${bottom}l6 10h-12z`});
  }
}
