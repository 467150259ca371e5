// What a person sees of the page in its frame, one finding a line: appended to a saved page, and written to the document
// around it.
const parse = (text) => {
  const [r, g, b, a = 1] = text.match(/[\d.]+/g).map(Number);
  return { r, g, b, a };
};
const luminance = ({ r, g, b }) => {
  const linear = (c) => ((c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
  return 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
};
const background = (element) => {
  for (let at = element; at; at = at.parentElement) {
    const colour = parse(getComputedStyle(at).backgroundColor);
    if (colour.a === 1) return colour;
  }
  return { r: 255, g: 255, b: 255 };
};
const findings = [];
document.querySelectorAll("details").forEach((details) => (details.open = true));
let least = Infinity;
let texts = 0;
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walker.nextNode()) {
  const node = walker.currentNode;
  const element = node.parentElement;
  if (!node.data.trim() || ["SCRIPT", "STYLE"].includes(element.tagName)) continue;
  const [one, other] = [parse(getComputedStyle(element).color), background(element)].map(luminance);
  const contrast = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
  texts += 1;
  least = Math.min(least, contrast);
  if (contrast < 4.5) findings.push(`contrast ${contrast.toFixed(2)}: ${node.data.trim()}`);
}
document.querySelectorAll("th:not([scope])").forEach((th) => findings.push(`no scope: ${th.textContent}`));
if (document.documentElement.scrollWidth > innerWidth) {
  findings.push(`wider than the window: ${document.documentElement.scrollWidth} of ${innerWidth}`);
}
const label = document.querySelector("td.label").getBoundingClientRect();
if (label.right > innerWidth) findings.push(`what a child does ends at ${label.right} of ${innerWidth}`);
if (document.querySelectorAll("td.label ~ td").length === 0) findings.push("no pid behind the label");
if (!document.querySelector("link[rel=icon]").href.startsWith("data:")) findings.push("an icon to be loaded");
const dark = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
parent.document.body.innerHTML =
  `<pre id="seen">${dark} ${innerWidth} texts ${texts} least ${least.toFixed(2)}\n${findings.join("\n")}</pre>`;
