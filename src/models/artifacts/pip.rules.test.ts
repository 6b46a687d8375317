import { expect, test } from "bun:test";
import { findOnPage, pipFiles, pipSettings } from "./pip.rules.ts";

test("without any setting it is PyPI", () => {
  expect(pipSettings([], {})).toEqual({
    indexUrls: ["https://pypi.org/simple"],
    cert: undefined,
    proxy: undefined,
  });
});

test("later files win over earlier ones, [download] over [global], the environment over all", () => {
  const first = "[global]\nindex-url = https://one/simple\ncert = /one.pem\n";
  const second =
    "# ours\n[global]\nindex_url: https://two/simple\n[download]\nproxy = http://p:1\n";
  expect(pipSettings([first, second], {})).toEqual({
    indexUrls: ["https://two/simple"],
    cert: "/one.pem",
    proxy: "http://p:1",
  });
  const env = { PIP_INDEX_URL: "https://three/simple", PIP_CERT: "/three.pem" };
  expect(pipSettings([first, second], env)).toMatchObject({
    indexUrls: ["https://three/simple"],
    cert: "/three.pem",
  });
});

test("extra indexes follow, one a line; no-index means none", () => {
  const file = "[global]\nextra-index-url =\n    https://a/simple\n    https://b/simple\n";
  expect(pipSettings([file], {}).indexUrls).toEqual([
    "https://pypi.org/simple",
    "https://a/simple",
    "https://b/simple",
  ]);
  expect(pipSettings([file], { PIP_NO_INDEX: "1" }).indexUrls).toEqual([]);
});

test("the files are pip's, and PIP_CONFIG_FILE=/dev/null means none", () => {
  const files = pipFiles(
    { HOME: "/me", VIRTUAL_ENV: "/venv", PIP_CONFIG_FILE: "/my.conf" },
    "linux",
  );
  expect(files).toEqual([
    "/etc/xdg/pip/pip.conf",
    "/etc/pip.conf",
    "/me/.pip/pip.conf",
    "/me/.config/pip/pip.conf",
    "/venv/pip.conf",
    "/my.conf",
  ]);
  expect(pipFiles({ HOME: "/me", PIP_CONFIG_FILE: "/dev/null" }, "linux")).toEqual([]);
});

test("a file is found on a page of either kind, its address made whole", () => {
  const url = "https://index/simple/toy/";
  const json = JSON.stringify({ files: [{ filename: "a.whl", url: "../../f/a.whl" }] });
  const found = { url, type: "application/vnd.pypi.simple.v1+json", text: json };
  expect(findOnPage(found, "a.whl")).toBe("https://index/f/a.whl");
  expect(findOnPage(found, "b.whl")).toBeUndefined();
  const html = '<a rel="x" href="https://files/f/a.whl?x=1&amp;y=2#sha256=0">a.whl</a>';
  const page = { url, type: "text/html; charset=utf-8", text: html };
  expect(findOnPage(page, "a.whl")).toBe("https://files/f/a.whl?x=1&y=2#sha256=0");
  expect(findOnPage(page, ".whl")).toBeUndefined();
});
