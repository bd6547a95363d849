"use strict";
// Zoom, hover and filter of the timelines. Without it everything is there all the same.
(() => {
  const all = (selector, inside = document) => [...inside.querySelectorAll(selector)];
  const named = (id) => document.getElementById(id);
  const boxes = all(".box").filter((box) => box.querySelector(".timeline"));
  const LARGEST = 64;
  const NEAR = 6; // pixels

  // hover: one text at a time, at the bar that is nearest to the pointer
  const hint = document.createElement("div");
  hint.id = "hint";
  hint.hidden = true;
  hint.setAttribute("aria-hidden", "true");
  document.body.append(hint);

  // each row's label says what it is, so its titles can go: the browser would show them as well
  const texts = new WeakMap();
  const marks = (row) => {
    if (!texts.has(row)) {
      const titles = all("g > title", row);
      const found = titles.map((title) => ({ element: title.parentElement, text: title.textContent }));
      titles.forEach((title) => title.remove());
      texts.set(row, found);
    }
    return texts.get(row);
  };

  // the time at the pointer, between two lines of the axis whose times are known
  const time = (row, x) => {
    const lines = all(".axis text", row.closest("table")).map((text) => ({
      x: parseFloat(text.getAttribute("x")),
      at: Date.parse(`${text.dataset.time.replace(" ", "T")}Z`),
    }));
    if (lines.length < 2) return "";
    const place = row.getBoundingClientRect();
    const percent = (100 * (x - place.left)) / place.width;
    const after = lines.findIndex((line) => line.x > percent);
    const last = after < 0 ? lines.length - 1 : Math.max(1, after);
    const [from, to] = [lines[last - 1], lines[last]];
    const at = from.at + ((percent - from.x) / (to.x - from.x)) * (to.at - from.at);
    return Number.isFinite(at) ? new Date(at).toISOString().slice(0, 16).replace("T", " ") : "";
  };

  const distance = (mark, x) => {
    const place = mark.element.getBoundingClientRect();
    return Math.max(place.left - x, x - place.right, 0) + place.width / 1e4;
  };

  const show = (event) => {
    const row = event.target.closest(".row");
    hint.hidden = !row;
    if (!row) return;
    const near = marks(row)
      .map((mark) => ({ text: mark.text, far: distance(mark, event.clientX) }))
      .sort((a, b) => a.far - b.far)[0];
    hint.textContent = near && near.far <= NEAR ? near.text : time(row, event.clientX);
    hint.hidden = !hint.textContent;
    const { width, height } = hint.getBoundingClientRect();
    const room = document.documentElement.clientWidth - width - 8;
    const above = event.clientY - height - 12;
    hint.style.left = `${Math.max(8, Math.min(event.clientX - width / 2, room))}px`;
    hint.style.top = `${above < 4 ? event.clientY + 18 : above}px`;
  };
  boxes.forEach((box) => {
    box.addEventListener("pointermove", show);
    box.addEventListener("pointerleave", () => { hint.hidden = true; });
  });
  addEventListener("scroll", () => { hint.hidden = true; }, true);

  // zoom: all timelines by the same factor, around the middle of what is seen or the pointer
  let zoom = 1;
  const setZoom = (factor, middle) => {
    const before = zoom;
    zoom = Math.min(LARGEST, Math.max(1, factor));
    boxes.forEach((box) => {
      const label = box.querySelector("th").offsetWidth;
      const at = middle ? middle - box.getBoundingClientRect().left - label : (box.clientWidth - label) / 2;
      const wide = box.querySelector(".timeline").offsetWidth - label;
      const share = (box.scrollLeft + at) / wide;
      box.style.setProperty("--zoom", zoom);
      box.scrollLeft = share * (box.querySelector(".timeline").offsetWidth - label) - at;
    });
    named("out").disabled = named("whole").disabled = zoom === 1;
    named("in").disabled = zoom === LARGEST;
    return zoom !== before;
  };
  named("in").addEventListener("click", () => setZoom(zoom * 2));
  named("out").addEventListener("click", () => setZoom(zoom / 2));
  named("whole").addEventListener("click", () => setZoom(1));
  boxes.forEach((box) => box.addEventListener("wheel", (event) => {
    if ((event.ctrlKey || event.metaKey) && setZoom(zoom * (event.deltaY < 0 ? 1.5 : 1 / 1.5), event.clientX)) event.preventDefault();
  }, { passive: false }));
  setZoom(1);

  // filter: the jobs whose names contain the text
  const jobs = [...all(".timeline tbody tr"), ...all("details.job"), ...all(".problems tbody tr")];
  named("filter").addEventListener("input", () => {
    const asked = named("filter").value.trim().toLowerCase();
    jobs.forEach((job) => {
      const name = (job.querySelector("th bdi") || job.querySelector("summary bdi")).textContent;
      job.hidden = !name.toLowerCase().includes(asked);
    });
  });
  all(".tools").forEach((tools) => { tools.hidden = false; });

  // a link to a job opens what there is to say of it
  const open = () => {
    const job = location.hash && named(decodeURIComponent(location.hash.slice(1)));
    const details = job && job.closest("details");
    if (details) {
      details.open = true;
      details.scrollIntoView();
    }
  };
  addEventListener("hashchange", open);
  all('a[href^="#j"]').forEach((link) => link.addEventListener("click", () => setTimeout(open)));
  open();
})();
