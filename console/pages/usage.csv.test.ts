import { expect, test } from "bun:test";
import { toCsv } from "./usage.csv.ts";

const figures = {
  requests: 2,
  failures: 0,
  inputTokens: 3,
  cachedInputTokens: 0,
  outputTokens: 4,
  amount: "0.000123",
};

test("one line a row, the exact amount, the ledger's total last", () => {
  const csv = toCsv({ rows: [{ group: "m", label: "m", ...figures }], total: figures }, "model");
  expect(csv.split("\r\n")).toEqual([
    "model,id,requests,failures,input_tokens,cached_input_tokens,output_tokens,amount_usd",
    "m,m,2,0,3,0,4,0.000123",
    "Total,,2,0,3,0,4,0.000123",
    "",
  ]);
});

test("quotes are doubled and formulas defused", () => {
  const csv = toCsv(
    { rows: [{ group: "k", label: '=1+"2",3', ...figures }], total: figures },
    "key",
  );
  expect(csv).toContain(`"'=1+""2"",3",k,`);
});
