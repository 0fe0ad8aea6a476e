// Opens the page: reads the data, builds what stands around the views, and each view when it is first looked at.
(function (hs) {
  const KINDS = { run: "Run", set: "Set", runs: "Two runs" };

  class Page {
    constructor(model) {
      this.model = model;
      this.store = new hs.Store(model);
      this.views = hs.views.filter((view) => view.isFor(model)).sort((a, b) => a.order - b.order);
      this.built = new Map(); // id -> {element, update, isStale}
      hs.open = (id) => this.open(id);
      this.buildHeader();
      this.buildTabs();
      if (model.n) new hs.FilterBar(this.store, document.getElementById("filters"));
      new hs.Card(this.store, document.getElementById("card"));
      this.store.on((what, detail) => this.pass(what, detail));
      this.startWithTest();
    }

    // Figures of training samples flatter: a run opens on its test split, with a chip that says so.
    startWithTest() {
      const split = this.model.column("split");
      const run = this.model.runs[0];
      const code = split && split.isCategory ? split.names.indexOf("test") : -1;
      if (run && code >= 0 && run.rows.some((row) => split.codes[row] === code))
        this.store.change({ split: hs.categoryFilter(split, [code]) });
    }

    buildHeader() {
      const { model, store } = this;
      const corrections = hs.button("", () => this.open("review"), { class: "quiet", hidden: true });
      store.on((what) => {
        if (what !== "decision") return;
        corrections.hidden = !store.decisions.size;
        hs.replace(
          corrections,
          `${hs.plural(store.decisions.size, "correction")}${store.decisions.isSaved ? "" : ", not downloaded"}`,
        );
      });
      hs.replace(
        document.getElementById("header"),
        hs.h(
          "div",
          { class: "titles" },
          hs.h("span", { class: "kind" }, KINDS[model.kind] || "Report"),
          hs.h("h1", {}, hs.name(model.title, 120)),
        ),
        hs.h("div", { class: "header-tools" }, corrections, this.themeButton()),
      );
    }

    themeButton() {
      const button = hs.button(
        "",
        () => {
          document.documentElement.dataset.theme = hs.isDark() ? "light" : "dark";
          name();
          this.store.emit("theme");
        },
        { class: "quiet" },
      );
      const name = () =>
        hs.replace(
          button,
          hs.h("span", { "aria-hidden": "true" }, "◐ "),
          hs.isDark() ? "Light" : "Dark",
          hs.h("span", { class: "unseen" }, " colours"),
        );
      matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
        name();
        this.store.emit("theme");
      });
      name();
      return button;
    }

    buildTabs() {
      const list = hs.h("div", { role: "tablist", "aria-label": "Views" });
      this.tabs = new Map(
        this.views.map((view) => [
          view.id,
          hs.h(
            "button",
            {
              type: "button",
              role: "tab",
              id: `tab-${view.id}`,
              "aria-controls": `view-${view.id}`,
              on: { click: (event) => this.press(view.id, event) },
            },
            view.title,
          ),
        ]),
      );
      list.append(...this.tabs.values());
      list.addEventListener("keydown", (event) => this.moveTab(event));
      hs.replace(document.getElementById("views"), list);
      this.panels = new Map(
        this.views.map((view) => [
          view.id,
          hs.h("section", {
            role: "tabpanel",
            id: `view-${view.id}`,
            "aria-labelledby": `tab-${view.id}`,
            hidden: true,
          }),
        ]),
      );
      hs.replace(document.getElementById("main"), [...this.panels.values()]);
    }

    // Whoever presses with a pointer goes on in the view: arrows must not turn to the next one.
    press(id, event) {
      this.open(id);
      if (event.detail) document.getElementById("main").focus({ preventScroll: true });
    }

    moveTab(event) {
      const ids = this.views.map(({ id }) => id);
      const at = ids.indexOf(hs.opened);
      const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: ids.length - 1 }[event.key];
      if (to === undefined) return;
      event.preventDefault();
      const id = ids[(to + ids.length) % ids.length];
      this.open(id);
      this.tabs.get(id).focus();
    }

    open(id) {
      const view = this.views.find((one) => one.id === id) || this.views[0];
      hs.opened = view.id;
      for (const [name, tab] of this.tabs) {
        const isOpen = name === view.id;
        tab.setAttribute("aria-selected", String(isOpen));
        tab.tabIndex = isOpen ? 0 : -1;
        this.panels.get(name).hidden = !isOpen;
      }
      this.tabs.get(view.id).scrollIntoView({ block: "nearest", inline: "nearest" });
      this.show(view);
      try {
        history.replaceState(null, "", `#${view.id}`);
      } catch {
        // a page within a page has no address of its own
      }
    }

    show(view) {
      let built = this.built.get(view.id);
      if (!built) {
        built = { part: view.build(this.store), isStale: true };
        this.panels.get(view.id).append(built.part.element);
        this.built.set(view.id, built);
      }
      if (built.isStale) built.part.update("filter");
      built.isStale = false;
    }

    // Tells the view that is open what changed; the others hear of it when they are opened.
    pass(what, detail) {
      for (const view of this.views) {
        const built = this.built.get(view.id);
        if (!built || !concerns(view, what, detail)) continue;
        if (view.id === hs.opened) built.part.update(what, detail);
        else built.isStale = true;
      }
    }

    warnBeforeLeaving() {
      addEventListener("beforeunload", (event) => {
        if (!this.store.decisions.isSaved) event.preventDefault();
      });
    }
  }

  function concerns(view, what, detail) {
    if (what === "filter") return true;
    const hears = view.hears || [];
    return what === "choice" ? "run" in detail || hears.some((name) => name in detail) : hears.includes(what);
  }

  function start() {
    const element = document.getElementById("headstart-data");
    const page = new Page(new hs.Model(JSON.parse(element.textContent)));
    const asked = location.hash.slice(1);
    const first = page.model.kind === "set" && page.tabs.has("map") ? "map" : "overview";
    page.open(page.tabs.has(asked) ? asked : first);
    page.warnBeforeLeaving();
    addEventListener("hashchange", () => page.tabs.has(location.hash.slice(1)) && page.open(location.hash.slice(1)));
    requestAnimationFrame(() => setTimeout(() => performance.mark("headstart:first-picture")));
  }

  try {
    start();
  } catch (error) {
    hs.replace(
      document.getElementById("main"),
      hs.h("h1", {}, "This report cannot be shown"),
      hs.h(
        "p",
        {},
        `Its data or this browser is not as expected: ${error.message}. A browser of 2024 or later is needed; if yours is, make the report anew.`,
      ),
    );
    throw error;
  }
})(headstart);
