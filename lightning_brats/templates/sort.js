// Sorts a table by the column whose header is clicked.
"use strict";

function key(row, column) {
  const cell = row.cells[column];
  if (!("sort" in cell.dataset)) return cell.textContent.trim();
  return cell.dataset.sort === "" ? NaN : Number(cell.dataset.sort);
}

function compare(a, b) {
  if (typeof a === "string") return a.localeCompare(b, undefined, { numeric: true });
  if (Number.isNaN(a) || Number.isNaN(b)) return Number.isNaN(a) - Number.isNaN(b);
  return a === b ? 0 : a - b;
}

function sortBy(header) {
  const table = header.closest("table");
  const down = header.getAttribute("aria-sort") === "ascending";
  for (const other of table.tHead.rows[0].cells) other.setAttribute("aria-sort", "none");
  header.setAttribute("aria-sort", down ? "descending" : "ascending");
  const body = table.tBodies[0];
  const rows = [...body.rows].sort((x, y) => compare(key(x, header.cellIndex), key(y, header.cellIndex)));
  body.append(...(down ? rows.reverse() : rows));
}

for (const button of document.querySelectorAll(".sortable button")) {
  button.addEventListener("click", () => sortBy(button.closest("th")));
}

