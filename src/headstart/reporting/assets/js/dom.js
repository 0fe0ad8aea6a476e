// Elements made by hand: nothing a user's data says is ever read as markup, and no element has a style attribute.
(function (hs) {
  const SVG = "http://www.w3.org/2000/svg";
  const LONGEST = 20000; // characters that one element shows, whatever its text holds

  function fill(element, attributes, children) {
    for (const [name, value] of Object.entries(attributes || {})) {
      if (value === null || value === undefined || value === false) continue;
      if (name === "on")
        for (const [event, listener] of Object.entries(value)) element.addEventListener(event, listener);
      else if (name === "style")
        Object.assign(element.style, value); // through the CSSOM, which the policy allows
      else element.setAttribute(name, value === true ? "" : String(value));
    }
    element.append(...children.flat(3).filter((child) => child !== null && child !== undefined && child !== false));
    return element;
  }

  hs.h = (tag, attributes, ...children) => fill(document.createElement(tag), attributes, children);
  hs.svg = (tag, attributes, ...children) => fill(document.createElementNS(SVG, tag), attributes, children);

  hs.button = (label, press, attributes = {}) =>
    hs.h("button", { type: "button", ...attributes, on: { click: press, ...attributes.on } }, label);

  // Text of the user's, in one line: isolated, so that right-to-left marks turn nothing around it.
  hs.name = (text, longest = 80) => hs.h("bdi", { class: "name" }, hs.short(text, longest));

  hs.short = (text, longest = 80) => {
    const line = String(text)
      .slice(0, 4 * longest)
      .replace(/\s+/gu, " ")
      .trim();
    if (!line && !String(text).length) return "(empty)";
    return line.length > longest || String(text).length > 4 * longest
      ? `${cut(line, longest - 1)}…`
      : line || "(blank)";
  };

  // Never through the middle of a surrogate pair.
  function cut(text, length) {
    const end = /[\ud800-\udbff]/u.test(text[length - 1] || "") ? length - 1 : length;
    return text.slice(0, end);
  }

  // A text of the user's as it is, with its lines.
  hs.prose = (text, longest = LONGEST, attributes = {}) => {
    const whole = String(text);
    const shown = whole.length > longest ? `${cut(whole, longest)}…` : whole;
    return hs.h("div", { dir: "auto", ...attributes, class: `prose ${attributes.class || ""}` }, shown);
  };

  hs.replace = (element, ...children) => {
    element.replaceChildren(
      ...children.flat(3).filter((child) => child !== null && child !== undefined && child !== false),
    );
    return element;
  };

  const plain = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });
  const figure = new Intl.NumberFormat("en-US", { maximumSignificantDigits: 4 });

  // A measure: shares with four places, so that a column of them lines up.
  hs.figure = (value) => (Number.isFinite(value) && Math.abs(value) <= 1 ? value.toFixed(4) : hs.number(value));
  hs.count = (n) => plain.format(n);
  hs.number = (value) => (value === null || value === undefined || Number.isNaN(value) ? "–" : figure.format(value));
  hs.share = (value, digits = 1) =>
    value === null || value === undefined || Number.isNaN(value) ? "–" : `${(100 * value).toFixed(digits)} %`;
  hs.fixed = (value, digits = 3) =>
    value === null || value === undefined || Number.isNaN(value) ? "–" : value.toFixed(digits);
  hs.plural = (n, one, many = `${one}s`) => `${hs.count(n)} ${n === 1 ? one : many}`;
  hs.interval = (pair, say = hs.fixed) => (pair ? `${say(pair[0])} to ${say(pair[1])}` : "");

  let made = 0;
  hs.newId = (stem) => `${stem}-${(made += 1)}`;

  hs.field = (label, control, attributes = {}) => {
    control.id = control.id || hs.newId("field");
    return hs.h("div", { class: "field", ...attributes }, hs.h("label", { for: control.id }, label), control);
  };

  hs.select = (options, chosen, change, attributes = {}) => {
    const select = hs.h(
      "select",
      { ...attributes, on: { change: () => change(select.value) } },
      options.map(([value, title]) => hs.h("option", { value, selected: value === chosen }, hs.short(title, 60))),
    );
    return select;
  };

  hs.check = (label, checked, change) => {
    const box = hs.h("input", { type: "checkbox", on: { change: () => change(box.checked) } });
    box.checked = checked;
    return hs.h("label", { class: "check" }, box, hs.h("span", {}, label));
  };

  // A picture of a sample; one that does not decode becomes words in a box of its size.
  hs.picture = (url, alt, size = "small") => {
    const box = hs.h("span", { class: `picture ${size}` });
    const words = () => hs.replace(box, hs.h("span", { class: "no-picture", title: alt }, "no picture"));
    if (!String(url).startsWith("data:image/")) return words() && box;
    const image = hs.h("img", { alt, decoding: "async", loading: "lazy", on: { error: words } });
    image.src = url;
    box.append(image);
    return box;
  };

  // Draws anew what is in an element; what had the focus there has it again, known by its data-action.
  hs.keepFocus = (element, draw) => {
    const had = element.contains(document.activeElement) ? document.activeElement.dataset.action || "" : null;
    draw();
    if (had === null || element.contains(document.activeElement)) return;
    const again = had && element.querySelector(`[data-action="${had}"]:not(:disabled)`);
    (again || element).focus({ preventScroll: true });
  };

  hs.isTyping = (target) =>
    target instanceof Element &&
    Boolean(
      target.closest("input:not([type=checkbox],[type=radio],[type=range]), select, textarea, [contenteditable]"),
    );
})(headstart);
