// A server to play with and people with browsers: what the journeys are made of.

import assert from 'node:assert/strict';
import { spawn, execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createInterface } from 'node:readline';
import { chromium } from 'playwright-core';

export const root = fileURLToPath(new URL('../../..', import.meta.url));
const binary = process.env.TEAHOUSE_BIN ?? join(root, 'target/debug/teahouse');
// Whatever this machine's operator has set for a server of their own is not for ours, which would refuse a name it does not know.
const environment = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('TEAHOUSE_')));

// How long to wait for something that ought to happen at once, on a machine that is busy with other things.
export const PATIENCE_MS = 30_000;

export class Server {
  data = mkdtempSync(join(tmpdir(), 'teahouse-page-'));
  url = null;
  #process = null;
  #said = '';

  static async start() {
    const server = new Server();
    await server.start();
    return server;
  }

  // Starts, on the port that it had before if it had one, and waits until it listens.
  async start() {
    const listen = this.url ? new URL(this.url).host : '127.0.0.1:0';
    this.#process = spawn(binary, ['serve', '--listen', listen, '--data', this.data], {
      env: environment,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.#process.stderr.on('data', (text) => (this.#said += text));
    const gone = once(this.#process, 'exit').then(([code]) => {
      throw new Error(`the server ended with status ${code}:\n${this.#said}`);
    });
    this.url = await Promise.race([this.#listening(), gone]);
    gone.catch(() => {}); // From here on `stop` looks at how it ends.
    return this.url;
  }

  async #listening() {
    for await (const line of createInterface({ input: this.#process.stdout })) {
      const found = line.match(/http:\/\/127\.0\.0\.1:\d+/);
      if (found) {
        this.#process.stdout.resume();
        return found[0];
      }
    }
    return new Promise(() => {}); // Its standard output is closed: it is ending, which says more.
  }

  // As an operator stops it; it has to leave by itself, and in good order.
  async stop() {
    if (this.#process.exitCode !== null) return;
    const exit = once(this.#process, 'exit');
    this.#process.kill('SIGTERM');
    const [code, signal] = await exit;
    assert.deepEqual([code, signal], [0, null], `SIGTERM ends the server with status 0; it said:\n${this.#said}`);
  }

  async end() {
    await this.stop();
    rmSync(this.data, { recursive: true, force: true });
  }

  // A request without a browser.
  async call(method, path, { token, body } = {}) {
    const response = await fetch(this.url + path, {
      method,
      headers: { 'Content-Type': 'application/json', ...(token && { Authorization: `Bearer ${token}` }) },
      body: body && JSON.stringify(body),
    });
    const answer = await response.json();
    assert.ok(response.ok, `${method} ${path}: ${response.status} ${answer.message}`);
    return answer.data;
  }

  register(username) {
    return this.call('POST', '/api/auth/register', { body: { username, password: PASSWORD, email: `${username}@example.org` } });
  }
}

export const PASSWORD = 'green tea 1';

export function openBrowser() {
  const executablePath = process.env.CHROMIUM ?? execFileSync('sh', ['-c', 'command -v chromium'], { encoding: 'utf8' }).trim();
  return chromium.launch({
    executablePath,
    args: [
      '--headless',
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
    ],
  });
}

// One tab. What goes wrong in it is written down: a policy's violation, an error in the console, an uncaught exception.
export class Tab {
  troubles = [];
  sockets = 0;

  static async open(context, url) {
    const tab = new Tab();
    tab.page = await context.newPage();
    tab.page.setDefaultTimeout(PATIENCE_MS);
    tab.page.on('console', (line) => line.type() === 'error' && tab.troubles.push(`${line.text()} (${line.location().url})`));
    tab.page.on('pageerror', (error) => tab.troubles.push(String(error)));
    tab.page.on('websocket', () => (tab.sockets += 1));
    await tab.page.goto(url);
    return tab;
  }

  state(state) {
    return this.page.locator(`body[data-state=${state}]`).waitFor({ state: 'attached' });
  }

  async register(username) {
    await this.state('gate');
    await this.page.getByRole('button', { name: 'New here? Register' }).click();
    await this.page.getByLabel('Username').fill(username);
    await this.page.getByLabel('E-mail address').fill(`${username}@example.org`);
    await this.page.getByLabel('Password').fill(PASSWORD);
    await this.page.getByRole('button', { name: 'Register', exact: true }).click();
    await this.state('live');
  }

  async login(username, password) {
    await this.state('gate');
    await this.page.getByLabel('Username').fill(username);
    await this.page.getByLabel('Password').fill(password);
    await this.page.getByRole('button', { name: 'Log in', exact: true }).click();
  }

  async say(text) {
    await this.page.locator('#compose textarea').fill(text);
    await this.page.keyboard.press('Enter');
  }

  // Waits until this text stands in the open thread, stored and not only on its way.
  sees(text) {
    return this.page.locator('#scroll li[data-id]').filter({ hasText: text }).first().waitFor();
  }

  sayings() {
    return this.page.locator('#scroll li.message:not([hidden]) .said').allTextContents();
  }

  ids() {
    return this.page.locator('#scroll li[data-id]').evaluateAll((rows) => rows.map((row) => Number(row.dataset.id)));
  }

  online(count) {
    return this.page.locator('#online-count').getByText(String(count), { exact: true }).waitFor();
  }

  person(name) {
    return this.page.locator('#online .entry').filter({ hasText: name });
  }

  conversation(name) {
    return this.page.locator('#conversations').getByRole('button', { name });
  }

  // Notes every value that the count of people online takes from now on.
  watchCount() {
    return this.page.evaluate(() => {
      const element = document.getElementById('online-count');
      window.counts = [element.textContent];
      new MutationObserver(() => {
        if (window.counts.at(-1) !== element.textContent) window.counts.push(element.textContent);
      }).observe(element, { childList: true, characterData: true, subtree: true });
    });
  }

  counts() {
    return this.page.evaluate(() => window.counts);
  }

  // What a test has caused on purpose is not trouble.
  forgive(pattern) {
    this.troubles = this.troubles.filter((trouble) => !pattern.test(trouble));
  }

  isWell() {
    assert.deepEqual(this.troubles, []);
  }
}
