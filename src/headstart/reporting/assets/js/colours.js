// Colours of points and cells, for both themes, and told apart without seeing red and green.
(function (hs) {
  // Okabe and Ito's without black and yellow, which one theme would swallow, and three of Tol's muted ones.
  const TEN = [
    "#0072b2",
    "#e69f00",
    "#009e73",
    "#d55e00",
    "#cc79a7",
    "#56b4e9",
    "#aa4499",
    "#999933",
    "#8c5a2b",
    "#6a5acd",
  ];
  const MEANT = {
    right: "#7f9bb3",
    wrong: "#d55e00",
    gained: "#009e73",
    lost: "#d55e00",
    "both right": "#9aa9b5",
    "both wrong": "#aa4499",
  };
  const NONE = { light: "#9a9a9a", dark: "#757575" };
  // Viridis at nine places (van der Walt and Smith), read in between.
  const VIRIDIS = [
    "#440154",
    "#472d7b",
    "#3b528b",
    "#2c728e",
    "#21918c",
    "#28ae80",
    "#5ec962",
    "#addc30",
    "#fde725",
  ].map(parts);

  function parts(hex) {
    return [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
  }

  function hashed(name) {
    let hash = 2166136261;
    for (let i = 0; i < Math.min(name.length, 256); i += 1) hash = Math.imul(hash ^ name.charCodeAt(i), 16777619);
    return hash >>> 0;
  }

  // A hue by the name, so that a class keeps its colour from page to page.
  function byName(name) {
    const hash = hashed(name);
    return hsl(hash % 360, 45 + ((hash >>> 9) % 30), 42 + ((hash >>> 17) % 18));
  }

  function hsl(hue, saturation, lightness) {
    const spread = (saturation / 100) * Math.min(lightness / 100, 1 - lightness / 100);
    const channel = (at) => {
      const place = (at + hue / 30) % 12;
      return Math.round(255 * (lightness / 100 - spread * Math.max(-1, Math.min(place - 3, 9 - place, 1))));
    };
    return [channel(0), channel(8), channel(4)];
  }

  hs.isDark = () => {
    const chosen = document.documentElement.dataset.theme;
    return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  };

  hs.css = ([red, green, blue]) => `rgb(${red}, ${green}, ${blue})`;

  // [r, g, b] of each category of a column, that of "none" last.
  hs.palette = (column) => {
    const isMeant = /^(right|flip)/u.test(column.name) && column.names.every((name) => Object.hasOwn(MEANT, name));
    const colours = column.names.map((name, code) => {
      if (isMeant) return parts(MEANT[name]);
      return column.names.length <= TEN.length ? parts(TEN[code]) : byName(name);
    });
    return [...colours, parts(hs.isDark() ? NONE.dark : NONE.light)];
  };

  // The colour of a number in [0, 1].
  hs.sequential = (share) => {
    const at = Math.max(0, Math.min(1, share)) * (VIRIDIS.length - 1);
    const low = Math.min(VIRIDIS.length - 2, Math.floor(at));
    return VIRIDIS[low].map((from, i) => Math.round(from + (at - low) * (VIRIDIS[low + 1][i] - from)));
  };

  hs.noneColour = () => parts(hs.isDark() ? NONE.dark : NONE.light);

  // What a CSS custom property comes to in the theme in force, for what is drawn on a canvas.
  hs.themed = (property) => {
    const probe = hs.h("span", { style: { color: `var(${property})`, display: "none" } });
    document.body.append(probe);
    const colour = getComputedStyle(probe).color;
    probe.remove();
    return colour
      .match(/[\d.]+/gu)
      .slice(0, 3)
      .map(Number);
  };
})(headstart);
