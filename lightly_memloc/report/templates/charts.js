"use strict";
(() => {
  const tip = document.getElementById("tip");

  // The text moves to a label, or the browser would show it a second time.
  for (const title of document.querySelectorAll(".marks title")) {
    title.parentNode.setAttribute("aria-label", title.textContent);
    title.remove();
  }

  function show(mark) {
    const place = mark.getBoundingClientRect();
    tip.textContent = mark.getAttribute("aria-label");
    tip.hidden = false;
    const room = document.documentElement.clientWidth - tip.offsetWidth;
    const left = Math.max(0, Math.min(place.left + place.width / 2 - tip.offsetWidth / 2, room));
    tip.style.left = `${left + window.scrollX}px`;
    tip.style.top = `${place.top + window.scrollY - tip.offsetHeight - 6}px`;
  }

  /** The mark to go to from another with a key, in the order of drawing. */
  function next(mark, key) {
    const { firstElementChild, lastElementChild } = mark.parentNode;
    return {
      ArrowRight: mark.nextElementSibling ?? firstElementChild,
      ArrowLeft: mark.previousElementSibling ?? lastElementChild,
      Home: firstElementChild,
      End: lastElementChild,
    }[key];
  }

  // On the charts: with listeners of its own, a group of marks could be focused itself.
  for (const chart of document.querySelectorAll(".chart")) {
    const marked = (event) => event.target.closest(".marks > *");
    for (const entered of ["pointerover", "focusin"]) {
      chart.addEventListener(entered, (event) => marked(event) && show(event.target));
    }
    for (const left of ["pointerout", "focusout"]) chart.addEventListener(left, () => { tip.hidden = true; });
    chart.addEventListener("keydown", (event) => {
      if (event.key === "Escape") tip.hidden = true;
      const chosen = marked(event) && next(event.target, event.key);
      if (!chosen) return;
      event.preventDefault();
      event.target.tabIndex = -1;
      chosen.tabIndex = 0;
      chosen.focus();
    });
  }
})();
