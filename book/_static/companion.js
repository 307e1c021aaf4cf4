// Pages opened from disk may not fetch, which the search needs for its excerpts: show titles alone there.
if (location.protocol === "file:") DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;

// What scrolls sideways must be reachable by keyboard. The theme sees to code and outputs, not to these.
function reachByKeyboard() {
  const scroll = "mjx-container[display], .pst-scrollable-table-container, .picture";
  for (const box of document.querySelectorAll(scroll)) {
    const wide = box.scrollWidth > box.clientWidth;
    if (wide) box.tabIndex = 0;
    else box.removeAttribute("tabindex");
    if (!box.matches("mjx-container")) box.classList.toggle("goes-on", wide);
  }
}
window.addEventListener("load", () => (window.MathJax?.startup?.promise ?? Promise.resolve()).then(reachByKeyboard));
window.addEventListener("resize", reachByKeyboard);

// Parts of the book fold in the side bar, all but the one that is read, so that the search and this page stay in view.
function foldParts() {
  for (const caption of document.querySelectorAll(".bd-docs-nav p.caption")) {
    const chapters = caption.nextElementSibling;
    if (chapters?.tagName !== "UL") continue;
    const part = document.createElement("details"), title = document.createElement("summary");
    part.className = "part";
    part.open = chapters.classList.contains("current") || !document.querySelector(".bd-docs-nav ul.current");
    title.textContent = caption.textContent;
    caption.replaceWith(part);
    part.append(title, chapters);
  }
}
document.addEventListener("DOMContentLoaded", foldParts);

// On a phone most figures come as they are drawn for it. Another, of pictures, keeps a size at which its words can be
// read, and scrolls in a box of its own.
function boxPictures() {
  for (const image of document.querySelectorAll(".bd-article figure > img, .bd-article figure > a > img")) {
    const box = document.createElement("div"), whole = image.closest("a") ?? image;
    box.className = "picture";
    whole.replaceWith(box);
    box.append(whole);
  }
}
document.addEventListener("DOMContentLoaded", boxPictures);

// Excerpts of the search: a formula is in the page twice, as TeX and as MathML; one in the line is shown as its MathML
// reads, one that is displayed as an ellipsis. The search's own function returns null where the place of a result holds
// no text, and then fails to append it.
document.addEventListener("DOMContentLoaded", () => {
  if (typeof Search === "undefined") return;
  const summary = Search.makeSearchSummary, toText = Search.htmlToText;
  Search.makeSearchSummary = (...found) => summary.apply(Search, found) ?? document.createTextNode("");
  Search.htmlToText = (html, anchor) => {
    const page = new DOMParser().parseFromString(html, "text/html");
    for (const formula of page.querySelectorAll(".math"))
      formula.textContent = formula.tagName === "SPAN" ? (formula.querySelector("math") ?? formula).textContent : " … ";
    for (const code of page.querySelectorAll(".cell_input, details.provenance")) code.remove();
    return toText.call(Search, page.documentElement.outerHTML, anchor);
  };
});
