// Fixtures of the page tests: a server, and browser tabs of users.

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
// Without the TEAHOUSE_ variables of this machine, which would configure the server under test.
const environment = {
  ...Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('TEAHOUSE_'))),
  TEAHOUSE_SESSIONS__PRESENCE_LINGER: '5s', // Shorter than the default, since a test waits for its end.
};

// Timeout for something that should happen at once, on a busy machine.
export const PATIENCE_MS = 30_000;

export class Server {
  data = mkdtempSync(join(tmpdir(), 'teahouse-page-'));
  url = null;
  #process = null;
  #output = '';

  static async start() {
    const server = new Server();
    await server.start();
    return server;
  }

  // Starts the server, after a restart on the same port, and waits until it listens.
  async start() {
    const listen = this.url ? new URL(this.url).host : '127.0.0.1:0';
    this.#process = spawn(binary, ['serve', '--listen', listen, '--data', this.data], {
      env: environment,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.#process.stderr.on('data', (text) => (this.#output += text));
    const gone = once(this.#process, 'exit').then(([code]) => {
      throw new Error(`the server ended with status ${code}:\n${this.#output}`);
    });
    this.url = await Promise.race([this.#listening(), gone]);
    gone.catch(() => {}); // From now on `stop` checks the exit status.
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
    return new Promise(() => {}); // Standard output is closed: the exit status says why.
  }

  // Stops the server with SIGTERM and checks its exit status.
  async stop() {
    if (this.#process.exitCode !== null) return;
    const exit = once(this.#process, 'exit');
    this.#process.kill('SIGTERM');
    const [code, signal] = await exit;
    assert.deepEqual([code, signal], [0, null], `SIGTERM ends the server with status 0; output:\n${this.#output}`);
  }

  async end() {
    await this.stop();
    rmSync(this.data, { recursive: true, force: true });
  }

  // Sends a request without a browser.
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

// A browser tab. It records policy violations, console errors and uncaught exceptions.
export class Tab {
  errors = [];
  sockets = 0;

  static async open(context, url) {
    const tab = new Tab();
    tab.page = await context.newPage();
    tab.page.setDefaultTimeout(PATIENCE_MS);
    tab.page.on('console', (line) => line.type() === 'error' && tab.errors.push(`${line.text()} (${line.location().url})`));
    tab.page.on('pageerror', (error) => tab.errors.push(String(error)));
    tab.page.on('websocket', () => (tab.sockets += 1));
    await tab.page.goto(url);
    return tab;
  }

  state(state) {
    return this.page.locator(`body[data-state=${state}]`).waitFor({ state: 'attached' });
  }

  async register(username) {
    await this.state('login');
    await this.page.getByRole('button', { name: 'New here? Register' }).click();
    await this.page.getByLabel('Username').fill(username);
    await this.page.getByLabel('E-mail address').fill(`${username}@example.org`);
    await this.page.getByLabel('Password').fill(PASSWORD);
    await this.page.getByRole('button', { name: 'Register', exact: true }).click();
    await this.state('live');
  }

  async login(username, password) {
    await this.state('login');
    await this.page.getByLabel('Username').fill(username);
    await this.page.getByLabel('Password').fill(password);
    await this.page.getByRole('button', { name: 'Log in', exact: true }).click();
  }

  async say(text) {
    await this.page.locator('#compose textarea').fill(text);
    await this.page.keyboard.press('Enter');
  }

  // Waits until the open thread shows this text as a stored message.
  sees(text) {
    return this.page.locator('#scroll li[data-id]').filter({ hasText: text }).first().waitFor();
  }

  sayings() {
    return this.page.locator('#scroll li.message:not([hidden]) .content').allTextContents();
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

  // Records every online count from now on.
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

  // Drops expected errors.
  ignoreErrors(pattern) {
    this.errors = this.errors.filter((error) => !pattern.test(error));
  }

  assertNoErrors() {
    assert.deepEqual(this.errors, []);
  }
}
