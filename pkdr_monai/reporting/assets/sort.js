"use strict";
// Tables that sort: a click on a column's name sorts by it, a second one turns the order around.
for (const table of document.querySelectorAll("table.sortable")) {
  for (const button of table.querySelectorAll("thead button")) {
    button.addEventListener("click", () => sortBy(table, button.closest("th")));
  }
}

function sortBy(table, heading) {
  const descending = heading.getAttribute("aria-sort") === "ascending";
  for (const other of table.querySelectorAll("th[aria-sort]")) other.removeAttribute("aria-sort");
  heading.setAttribute("aria-sort", descending ? "descending" : "ascending");
  const body = table.tBodies[0];
  const rows = Array.from(body.rows, (row) => [row.cells[heading.cellIndex].dataset.value, row]);
  rows.sort(([a], [b]) => compare(a, b, descending));
  body.append(...rows.map(([, row]) => row));
}

// Numbers by size, the rest by letters; what has no value comes last in either order.
function compare(a, b, descending) {
  if (a === "" || b === "") return (a === "") - (b === "");
  const numbers = [Number(a), Number(b)];
  const order = numbers.some(Number.isNaN) ? a.localeCompare(b, undefined, { numeric: true }) : numbers[0] - numbers[1];
  return descending ? -order : order;
}
