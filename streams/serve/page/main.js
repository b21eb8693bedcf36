// The frame of the page: views by address, language, colours, and the stream.
import { el } from "./dom.js";
import { listen, take } from "./state.js";
import { follow } from "./stream.js";
import { LANGUAGES, currentLanguage, text, useLanguage } from "./texts.js";
import * as item from "./views/item.js";
import * as live from "./views/live.js";
import * as quality from "./views/quality.js";
import * as user from "./views/user.js";

const VIEWS = { live, quality, user, item };
const THEMES = { auto: "themeAuto", light: "themeLight", dark: "themeDark" };
const main = document.getElementById("main");
let view = null, connection = "connecting";

/** The name of the view and the id in an address such as #/user/u-42. */
function address() {
  const [, name = "live", id = ""] = /^#\/(\w+)(?:\/(.*))?$/.exec(location.hash) ?? [];
  return { name: name in VIEWS ? name : "live", id: decoded(id) };
}

function decoded(id) {
  try {
    return decodeURIComponent(id);
  } catch {
    return id;
  }
}

function showView() {
  const { name, id } = address();
  view?.close();
  main.replaceChildren();
  view = VIEWS[name].show(main, id);
  view.update();
  for (const link of document.querySelectorAll("#views a")) {
    if (link.dataset.view === name) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.title = `${text(name)}${id ? ` ${id}` : ""} – Thalweg`;
}

function showFrame() {
  for (const node of document.querySelectorAll("[data-text]")) node.textContent = text(node.dataset.text);
  for (const node of document.querySelectorAll("[data-label]")) node.setAttribute("aria-label", text(node.dataset.label));
  document.getElementById("views").replaceChildren(
    ...Object.keys(VIEWS).map(name => el("a", { href: `#/${name}`, "data-view": name }, text(name))));
  const chosen = localStorage.getItem("thalweg-theme") ?? "auto";
  const options = Object.entries(THEMES).map(([name, key]) => el("option", { value: name, selected: name === chosen }, text(key)));
  document.getElementById("theme").replaceChildren(...options);
  showConnection();
}

function showConnection() {
  const node = document.getElementById("connection");
  node.textContent = text(connection);
  node.dataset.state = connection;
}

function useTheme(name) {
  if (name === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = name;
}

function begin() {
  const known = [localStorage.getItem("thalweg-language"), ...navigator.languages.map(tag => tag.slice(0, 2))];
  useLanguage(known.find(name => name in LANGUAGES) ?? "en");
  useTheme(localStorage.getItem("thalweg-theme") ?? "auto");
  const languages = document.getElementById("language"), themes = document.getElementById("theme");
  languages.replaceChildren(...Object.entries(LANGUAGES).map(([name, label]) =>
    el("option", { value: name, lang: name, selected: name === currentLanguage() }, label)));
  languages.addEventListener("change", () => {
    localStorage.setItem("thalweg-language", languages.value);
    useLanguage(languages.value);
    showFrame();
    showView();
  });
  themes.addEventListener("change", () => {
    localStorage.setItem("thalweg-theme", themes.value);
    useTheme(themes.value);
    view.redraw();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => view.redraw());
  addEventListener("hashchange", () => {
    showView();
    main.focus({ preventScroll: true }); // a screen reader begins with the new view
    scrollTo(0, 0);
  });
  showFrame();
  showView();
  listen(kind => view.update(kind));
  follow(take, name => {
    connection = name;
    showConnection();
  });
}

begin();
