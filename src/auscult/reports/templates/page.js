// Tables can be sorted and saved; the page needs no script to be read.
"use strict";
for (const table of document.querySelectorAll("main .scroll > table")) {
  const body = table.tBodies[0];
  const head = table.tHead && table.tHead.rows[table.tHead.rows.length - 1];
  if (!head || !body) continue;
  const text = (cell) => cell.innerText.replace(/\s+/g, " ").trim();
  const number = (cell) => {
    const found = text(cell).replace(/,(?=\d{3})/g, "").replace("\u2212", "-").match(/^[^\d-]{0,2}(-?\d+(\.\d+)?)/);
    return found ? Number(found[1]) : NaN;
  };
  if (body.rows.length > 2 && !body.querySelector("tr.group")) {
    for (const [column, name] of [...head.cells].entries()) {
      const button = document.createElement("button");
      button.append(...name.childNodes);
      button.title = "Sort by this column";
      button.addEventListener("click", () => {
        const down = name.getAttribute("aria-sort") === "ascending";
        for (const other of head.cells) other.removeAttribute("aria-sort");
        name.setAttribute("aria-sort", down ? "descending" : "ascending");
        const rows = [...body.rows];
        const numeric = rows.some((row) => !Number.isNaN(number(row.cells[column])));
        rows.sort((one, other) => {
          const [a, b] = [one.cells[column], other.cells[column]];
          if (!numeric) return (down ? -1 : 1) * text(a).localeCompare(text(b));
          const [x, y] = [number(a), number(b)];
          if (Number.isNaN(x) || Number.isNaN(y)) return Number.isNaN(x) - Number.isNaN(y);
          return down ? y - x : x - y;
        });
        body.append(...rows);
      });
      name.append(button);
    }
  }
  const save = document.createElement("button");
  save.className = "save";
  save.textContent = "CSV";
  save.title = "Save this table";
  save.addEventListener("click", () => {
    // A leading quote keeps a spreadsheet from taking a text for a formula.
    const cell = (of) => text(of).replace(/^(?=[=+@\t\r]|-(?!\d))/, "'").replace(/"/g, '""');
    const lines = [...table.rows].map((row) => [...row.cells].map((of) => `"${cell(of)}"`).join(","));
    const link = document.createElement("a");
    link.href = "data:text/csv;charset=utf-8," + encodeURIComponent("\ufeff" + lines.join("\r\n") + "\r\n");
    const title = table.closest("section").querySelector("h2").innerText + " " + (table.dataset.name || "table");
    link.download = title.toLowerCase().replace(/[^a-z0-9]+/g, "-") + ".csv";
    link.click();
  });
  table.parentElement.append(save);
}
