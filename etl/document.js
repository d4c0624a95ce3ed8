"use strict";
(() => {
  const said = document.body.dataset;
  const fill = (text, values) => text.replace(/\{(\w+)\}/g, (_, name) => values[name]);
  const root = document.documentElement;
  root.classList.add("scripted");

  // Colours: as the system has them unless one is chosen; where nothing can be kept, for this visit.
  const theme = document.getElementById("theme");
  const choose = (value) => {
    if (value === "auto") delete root.dataset.theme;
    else root.dataset.theme = value;
  };
  let kept = "auto";
  try { kept = localStorage.getItem("demeter-theme") || "auto"; } catch { /* Nothing is kept here. */ }
  theme.value = ["light", "dark"].includes(kept) ? kept : "auto";
  choose(theme.value);
  theme.addEventListener("change", () => {
    choose(theme.value);
    try { localStorage.setItem("demeter-theme", theme.value); } catch { /* Nor here. */ }
  });
  document.getElementById("print").addEventListener("click", () => window.print());
  document.querySelector(".controls").hidden = false;

  // What stands in a cell first is its value; its bounds come after it.
  const value = (cell) => (cell.firstChild ? cell.firstChild.textContent : "");
  const bounds = (cell) => {
    const small = cell.querySelector("small");
    return small ? small.textContent.split(" – ") : [value(cell), value(cell)];
  };
  const figure = (text) => Number(text.replaceAll(",", ""));
  const isKnown = (cell) => !cell.classList.contains("null");

  const sort = (table, column, descending) => {
    const body = table.tBodies[0];
    const numeric = table.tHead.rows[0].cells[column].classList.contains("n");
    const turn = descending ? -1 : 1;
    const compare = (a, b) => {
      const [x, y] = [a.cells[column], b.cells[column]];
      // What is not known comes last, whichever way.
      if (isKnown(x) !== isKnown(y)) return isKnown(x) ? -1 : 1;
      if (numeric && isKnown(x)) return turn * (figure(value(x)) - figure(value(y)));
      return turn * value(x).localeCompare(value(y), undefined, { numeric: true });
    };
    body.append(...[...body.rows].sort(compare));
    [...table.tHead.rows[0].cells].forEach((head, place) => {
      if (place === column) head.setAttribute("aria-sort", descending ? "descending" : "ascending");
      else head.removeAttribute("aria-sort");
    });
  };

  // A text that a spreadsheet would calculate gets an apostrophe, as it does in CSV.
  const harmless = (text) => (/^[=+\-@\t\r]/.test(text) && Number.isNaN(figure(text)) ? `'${text}` : text);
  const plain = (cell, head) => {
    const text = isKnown(cell) ? value(cell) : "";
    return head.classList.contains("n") ? text.replaceAll(",", "") : harmless(text.replace(/\s+/g, " "));
  };
  const copied = (table) => {
    const heads = [...table.tHead.rows[0].cells];
    const titles = heads.flatMap((head) =>
      head.dataset.low ? [head.textContent, head.dataset.low, head.dataset.high] : [head.textContent]);
    const lines = [...table.tBodies[0].rows].filter((row) => !row.hidden).map((row) =>
      [...row.cells].flatMap((cell, place) => {
        const head = heads[place];
        if (!head.dataset.low) return [plain(cell, head)];
        const ends = isKnown(cell) ? bounds(cell).map((each) => each.replaceAll(",", "")) : ["", ""];
        return [plain(cell, head), ...ends];
      }));
    return [titles, ...lines].map((line) => line.join("\t")).join("\n");
  };
  const copy = async (text) => {
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      const area = document.createElement("textarea");
      area.value = text;
      document.body.append(area);
      area.select();
      document.execCommand("copy");
      area.remove();
    }
  };

  const equip = (table) => {
    const title = table.dataset.title;
    const rows = [...table.tBodies[0].rows];
    if (rows.length > 1) {
      [...table.tHead.rows[0].cells].forEach((head, column) => {
        const button = document.createElement("button");
        button.type = "button";
        button.append(...head.childNodes);
        head.append(button);
        button.addEventListener("click", () => {
          const now = head.getAttribute("aria-sort");
          sort(table, column, now ? now === "ascending" : head.classList.contains("n"));
        });
      });
    }
    const tools = document.createElement("div");
    tools.className = "tools";
    const count = document.createElement("span");
    count.setAttribute("role", "status");
    if (rows.length > 5) {
      const filter = document.createElement("input");
      filter.type = "search";
      filter.placeholder = said.filter;
      filter.setAttribute("aria-label", fill(said.filterOf, { title }));
      const texts = new Map(rows.map((row) => [row, row.textContent.toLowerCase()]));
      filter.addEventListener("input", () => {
        const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
        let shown = 0;
        for (const row of rows) {
          row.hidden = !words.every((word) => texts.get(row).includes(word));
          shown += row.hidden ? 0 : 1;
        }
        count.textContent = words.length ? fill(said.rowsShown, { shown, count: rows.length }) : "";
      });
      tools.append(filter);
    }
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = said.copy;
    button.setAttribute("aria-label", fill(said.copyOf, { title }));
    button.addEventListener("click", async () => {
      await copy(copied(table));
      count.textContent = said.copied;
    });
    tools.append(button, count);
    table.closest(".scroll").before(tools);
  };
  document.querySelectorAll("table[data-name]").forEach(equip);
})();
