#!/usr/bin/env node
// One Chromium as one side of a call, for links.py. A line of JSON each way.
//
//   node chromium.mjs offer|answer --film F.y4m [--camera] [--wav F.wav] [--no-video] [--no-watch] [--codec H264] [--kbps N] [--log F --samples F]
//
// stdout: {"code":..} once, then {"stats":..} each second; on the line "mark" of stdin {"mark":..} with CPU and memory; on "report"
// the shown pictures go to --log, the sampled ones to --samples, and {"report":..} comes. The end of stdin ends it.
// --camera: the film is the fake camera's, without a clock in it; else the page plays it and draws the clock.
// TWOCAN_PEERS: the folder of lib.mjs, which launches Chromium and reads /proc (default ../../../shared/tools/peers).
import fs from 'node:fs'; import path from 'node:path'; import readline from 'node:readline'; import { fileURLToPath, pathToFileURL } from 'node:url'; import http from 'node:http';
const here = path.dirname(fileURLToPath(import.meta.url));
const peers = path.resolve(process.env.TWOCAN_PEERS || path.join(here, '../../../shared/tools/peers'));
const { args, launchChromium, cpuSnap, mem, sleep, tree } = await import(pathToFileURL(path.join(peers, 'lib.mjs')));
const given = args(), role = given._[0], say = (value) => process.stdout.write(JSON.stringify(value) + '\n');
const lines = readline.createInterface({ input: process.stdin }), waiting = []; let wake = null, ended = false;
lines.on('line', (line) => { waiting.push(line); wake?.(); }); lines.on('close', () => { ended = true; wake?.(); });
const line = async () => { while (!waiting.length && !ended) await new Promise((done) => { wake = done; }); return waiting.shift() ?? null; };
const server = http.createServer((request, response) => {
  const file = request.url === '/film.y4m' ? given.film : path.join(here, 'chromium.html');
  response.writeHead(200, { 'content-type': request.url === '/film.y4m' ? 'application/octet-stream' : 'text/html' }); fs.createReadStream(file).pipe(response);
});
await new Promise((done) => server.listen(0, '127.0.0.1', done));
// Chromium starts in a session of its own: the share of a busy machine that peers.py gives has to be passed on.
const prefer = () => { for (const { pid } of tree(browser.root)) try { fs.writeFileSync(`/proc/${pid}/autogroup`, '-10'); } catch {} };
let browser, status = 0;
try {
  browser = await launchChromium({ y4m: given.camera ? given.film : undefined, wav: given.wav });
  prefer();
  const page = browser.ctx.pages()[0] || await browser.ctx.newPage(); page.on('console', (m) => m.type() === 'error' && console.error(m.text())); page.on('pageerror', (e) => console.error(e.message));
  await page.goto(`http://localhost:${server.address().port}/`);
  const [width, height] = /W(\d+) H(\d+)/.exec(fs.readFileSync(given.film).subarray(0, 64).toString()).slice(1).map(Number);
  await page.evaluate((wish) => peer.start(wish), { film: given.camera ? null : '/film.y4m', camera: !!given.camera, video: !given['no-video'], watch: !given['no-watch'], codec: given.codec || 'H264', kbps: +(given.kbps || 2500), width, height });
  if (role === 'offer') { say({ code: await page.evaluate(() => peer.offer()) }); await page.evaluate((d) => peer.accept(d), JSON.parse(await line())); }
  else say({ code: await page.evaluate((d) => peer.answer(d), JSON.parse(await line())) });
  prefer();
  let running = true;
  const telling = (async () => { while (running) { const stats = await page.evaluate(() => peer.stats()); say({ stats }); await sleep(1000); } })();
  for (let wish; (wish = await line()) !== null;) {
    if (wish === 'mark') {
      const stats = await page.evaluate(() => peer.stats()), snap = cpuSnap([browser.root]), by = {};
      for (const { ticks, kind } of snap.m.values()) by[kind] = (by[kind] || 0) + ticks / 100;
      say({ mark: { stats, at: Date.now(), cpu: by, pssMiB: mem([browser.root]).pssMiB } });
    } else if (wish === 'report') {
      running = false; await telling;
      const log = await page.evaluate(() => peer.log());
      // The samples may be of different sizes: each line of the log is told where its own begins.
      if (given.log) {
        const out = fs.openSync(given.samples, 'w'); let at = 0; const starts = [];
        for (let n = 0; n < log.samples; n++) { const bytes = Buffer.from(await page.evaluate((k) => peer.sample(k), n), 'base64'); fs.writeSync(out, bytes); starts.push(at); at += bytes.length; }
        fs.closeSync(out);
        fs.writeFileSync(given.log, log.shown.map((s) => JSON.stringify(s.sample === undefined ? s : { ...s, sample: starts[s.sample] }) + '\n').join(''));
      }
      say({ report: { unread: log.unread, skipped: log.skipped, version: browser.ctx.browser()?.version() ?? null } });
    }
  }
} catch (error) { console.error(error.stack || error); status = 1; } finally { if (browser) await browser.close(); server.close(); process.exit(status); }
