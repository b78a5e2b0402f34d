// The keyboard's place: what has the focus may go away, the place of a person at work may not.

const CONTROLS = "a[href], button:not([disabled]), input:not([disabled]), select, summary";

const controlsIn = (node) => [...node.querySelectorAll(CONTROLS)].filter((one) => one.checkVisibility());

export function focusHeading(node) {
  const heading = node.querySelector("h1, h2") || node;
  if (!heading.hasAttribute("tabindex")) heading.setAttribute("tabindex", "-1");
  heading.focus();
}

// Call it before a node is removed or hidden: if the focus is in there, the nearest control after it takes the focus, or the
// last one before it, or the heading of the part of the page that it lies in.
export function handOver(node) {
  if (!node.contains(document.activeElement)) return;
  for (let after = node.nextElementSibling; after; after = after.nextElementSibling) {
    const found = after.checkVisibility() && (after.matches(CONTROLS) ? after : controlsIn(after)[0]);
    if (found) return void found.focus();
  }
  for (let before = node.previousElementSibling; before; before = before.previousElementSibling) {
    const found = before.checkVisibility() && (before.matches(CONTROLS) ? before : controlsIn(before).at(-1));
    if (found) return void found.focus();
  }
  focusHeading(node.parentElement.closest("dialog[open], section, main") || document.getElementById("main"));
}

export function removeNode(node) {
  handOver(node);
  node.remove();
}
