// Brings the content of the page, and brings it again. What the server sends is escaped; it is put in only when it differs,
// so that nothing jumps and an image is fetched only when its address, which holds its time, is another one.
"use strict";
const content = document.getElementById("content");
const state = document.getElementById("state");
let shown = "";

async function look() {
  try {
    const answer = await fetch("/content", { signal: AbortSignal.timeout(10000) });
    if (!answer.ok) throw new Error(answer.statusText);
    const html = await answer.text();
    if (html !== shown) {
      const open = new Set([...content.querySelectorAll("details[open]")].map((one) => one.id));
      const pictures = new Map([...content.querySelectorAll("img")].map((one) => [one.getAttribute("src"), one]));
      content.innerHTML = html;
      for (const one of content.querySelectorAll("details")) one.open = open.has(one.id);
      for (const one of content.querySelectorAll("img")) {
        const old = pictures.get(one.getAttribute("src"));
        if (old) one.replaceWith(old);
      }
      shown = html;
    }
    state.textContent = "as of " + new Date().toISOString().slice(11, 19) + " UTC";
    state.className = "";
  } catch (error) {
    state.textContent = "datalake serve does not answer; this is what was known last";
    state.className = "bad";
  }
  setTimeout(look, document.hidden ? 10000 : 2000);
}

look();
