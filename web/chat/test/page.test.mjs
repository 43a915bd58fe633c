// Journeys of users through the page, in a real browser against the real server.

import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { PASSWORD, Server, Tab, openBrowser, root } from './teahouse.mjs';

const LIMIT = { timeout: 120_000 };
const CONNECTION_ERRORS = /ERR_CONNECTION_REFUSED|ERR_CONNECTION_RESET|ERR_EMPTY_RESPONSE|ERR_SOCKET_NOT_CONNECTED|WebSocket connection to/;

let browser;
before(async () => (browser = await openBrowser()));
after(() => browser?.close());

// Runs a test with its own server, and a browser profile for each user.
async function withServer(run) {
  const server = await Server.start();
  const contexts = [];
  const tabs = [];
  const tabOf = async (context) => {
    const tab = await Tab.open(context, server.url);
    tabs.push(tab);
    return tab;
  };
  const visitor = async (options = {}) => {
    const context = await browser.newContext({ locale: 'en-GB', ...options });
    contexts.push(context);
    return tabOf(context);
  };
  const guest = async (name, options) => {
    const tab = await visitor(options);
    await tab.register(name);
    return tab;
  };
  try {
    await run({ server, visitor, guest, tabOf });
    for (const tab of tabs) tab.assertNoErrors();
  } finally {
    await Promise.all(contexts.map((context) => context.close()));
    await server.end();
  }
}

test('amy and bob see the same messages of the lobby in the same order', LIMIT, () =>
  withServer(async ({ guest }) => {
    const amy = await guest('amy');
    const bob = await guest('bob');
    for (const tab of [amy, bob]) {
      await tab.online(2);
      await tab.person('amy').waitFor();
      await tab.person('bob').waitFor();
    }

    await amy.say('hello bob');
    await bob.sees('hello bob');
    await bob.say('hello amy');
    await amy.sees('hello amy');
    await amy.say('<img src=x onerror=alert(1)> & <b>bold</b>');
    await bob.sees('<img src=x onerror=alert(1)> & <b>bold</b>');
    await amy.sees('<img src=x onerror=alert(1)>');

    assert.deepEqual(await amy.sayings(), ['hello bob', 'hello amy', '<img src=x onerror=alert(1)> & <b>bold</b>']);
    assert.deepEqual(await bob.sayings(), await amy.sayings());
    assert.deepEqual(await bob.ids(), await amy.ids());
  }),
);

test('a private message counts as unread until it is seen, and its author sees the read mark', LIMIT, () =>
  withServer(async ({ guest }) => {
    const amy = await guest('amy');
    const bob = await guest('bob');

    await amy.person('bob').click();
    await amy.page.getByRole('heading', { name: 'bob' }).waitFor();
    await amy.say('just between us');
    await amy.sees('just between us');

    await bob.conversation('amy').getByText('just between us').waitFor();
    assert.equal(await bob.conversation('amy').locator('.badge').textContent(), '1');
    assert.equal(await bob.page.title(), '(1) Teahouse');
    assert.deepEqual(await bob.sayings(), [], 'the lobby does not show it');
    assert.equal(await amy.page.locator('#scroll .mark').count(), 0, 'nobody has read it yet');

    await bob.conversation('amy').click();
    await bob.sees('just between us');
    await amy.page.locator('#scroll .mark').getByText('read').waitFor();
    await bob.conversation('amy').locator('.badge').waitFor({ state: 'detached' });
    await bob.page.waitForFunction(() => document.title === 'Teahouse');

    // Both have the conversation open, so that messages are read at once.
    await bob.say('and me');
    await amy.sees('and me');
    await bob.page.locator('#scroll .mark').getByText('read').waitFor();
    assert.deepEqual(await amy.sayings(), ['just between us', 'and me']);
    assert.deepEqual(await bob.sayings(), await amy.sayings());
  }),
);

test('amy refreshes her page and the others see no change', LIMIT, () =>
  withServer(async ({ guest }) => {
    const amy = await guest('amy');
    const bob = await guest('bob');
    const cat = await guest('cat');
    await bob.online(3);
    await amy.say('before');
    await bob.sees('before');
    await bob.watchCount();

    await amy.page.reload();
    await amy.state('live');
    await amy.sees('before');
    await amy.say('after');
    await bob.sees('after');

    // Cat leaves without a close frame. When her linger is over, that of amy's old session would be too.
    await cat.page.close();
    await bob.online(2);
    assert.deepEqual(await bob.counts(), ['3', '2']);
    await bob.person('amy').waitFor();
    assert.deepEqual(await amy.sayings(), ['before', 'after']);
  }),
);

test('two tabs of one user: the older one is displaced, reconnects on request, and misses nothing', LIMIT, () =>
  withServer(async ({ guest, tabOf }) => {
    const first = await guest('amy');
    const bob = await guest('bob');
    await bob.say('one');
    await first.sees('one');

    const second = await tabOf(first.page.context());
    await second.state('live');
    await first.state('elsewhere');
    await bob.say('two');
    await second.sees('two');
    await second.say('three');
    await bob.sees('three');
    await first.page.getByText('You are connected elsewhere.').waitFor();
    assert.deepEqual(await first.sayings(), ['one']);

    await first.page.getByRole('button', { name: 'Use it here' }).click();
    await first.state('live');
    await second.state('elsewhere');
    await bob.say('four');
    await first.sees('four');

    assert.deepEqual(await first.sayings(), ['one', 'two', 'three', 'four']);
    assert.deepEqual([first.sockets, second.sockets], [2, 1], 'a user asked for each connection');
    await bob.online(2);
  }),
);

test('a late close of the old socket does not touch the new one', LIMIT, () =>
  withServer(async ({ server, visitor }) => {
    const amy = await visitor();
    await amy.page.addInitScript(() => {
      const Native = window.WebSocket;
      window.opened = [];
      window.WebSocket = class extends Native {
        constructor(...args) {
          super(...args);
          window.opened.push(this);
        }
      };
    });
    await amy.page.goto(server.url);
    await amy.register('amy');

    // The page takes its socket for lost while the server still has it: the new connection displaces the old one, whose
    // close (4501) arrives after the new one is set up.
    await amy.page.evaluate(() => {
      const [old] = window.opened;
      window.oldClosed = new Promise((resolve) => old.addEventListener('close', resolve));
      old.onclose({ code: 1006, reason: '' });
      window.dispatchEvent(new window.Event('online'));
    });
    const code = await amy.page.evaluate(() => window.oldClosed.then((event) => event.code));
    assert.equal(code, 4501);
    await amy.state('live');
    await amy.say('still here');
    await amy.sees('still here');
    await amy.state('live');
    assert.equal(await amy.page.evaluate(() => window.opened.length), 2);
  }),
);

test('after a restart both reconnect, with no message missing or shown twice', LIMIT, () =>
  withServer(async ({ server, guest }) => {
    const amy = await guest('amy');
    const bob = await guest('bob');
    const { token } = await server.register('cat');
    await amy.say('before');
    await bob.sees('before');

    await server.stop();
    await amy.state('lost');
    await bob.state('lost');
    await bob.say('into the void');
    const again = bob.page.getByRole('button', { name: 'Send again' });
    await again.waitFor();

    await server.start();
    // Usually sent before the two have reconnected.
    for (const content of ['while you were away', 'and once more']) {
      await server.call('POST', '/api/chat/send', { token, body: { content } });
    }
    await amy.state('live');
    await bob.state('live');
    await amy.say('after');
    await bob.sees('after');
    await again.click();
    await amy.sees('into the void');
    await bob.sees('into the void');

    const { messages } = await server.call('GET', '/api/chat/messages', { token });
    const ids = messages.map(({ id }) => id);
    assert.deepEqual(
      messages.map(({ content }) => content),
      ['before', 'while you were away', 'and once more', 'after', 'into the void'],
    );
    for (const tab of [amy, bob]) {
      assert.deepEqual(await tab.ids(), ids);
      assert.equal((await tab.sayings()).length, ids.length);
      await tab.online(2);
      tab.ignoreErrors(CONNECTION_ERRORS);
    }
  }),
);

test('earlier messages load on request, each once', LIMIT, () =>
  withServer(async ({ server, visitor }) => {
    // Several users, since the rate limit stops a single one.
    for (let speaker = 0; speaker < 12; speaker += 1) {
      const { token } = await server.register(`guest${speaker}`);
      for (let count = 0; count < 5; count += 1) {
        await server.call('POST', '/api/chat/send', { token, body: { content: `${speaker}.${count}` } });
      }
    }
    const amy = await visitor();
    await amy.register('amy');
    assert.equal((await amy.ids()).length, 50);
    await amy.page.getByRole('button', { name: 'Earlier messages' }).click();
    await amy.page.locator('#scroll li[data-id]').nth(59).waitFor();
    await amy.sees('0.0');
    const ids = await amy.ids();
    assert.equal(ids.length, 60);
    assert.deepEqual(ids, [...new Set(ids)].sort((a, b) => a - b));
    assert.equal(await amy.page.getByRole('button', { name: 'Earlier messages' }).count(), 0);
  }),
);

test('a wrong password shows an error, and the right one still works', LIMIT, () =>
  withServer(async ({ server, visitor }) => {
    await server.register('amy');
    const amy = await visitor();
    await amy.login('amy', 'not it 1');
    const alert = amy.page.getByRole('alert');
    await alert.waitFor();
    assert.match(await alert.textContent(), /\w+ \w+/);
    amy.ignoreErrors(/status of 401/);
    await amy.login('amy', PASSWORD);
    await amy.state('live');
    await amy.online(1);
  }),
);

test('a logout takes the user offline and clears the page', LIMIT, () =>
  withServer(async ({ guest }) => {
    const amy = await guest('amy');
    const bob = await guest('bob');
    await bob.online(2);
    await amy.say('my secret plan');
    await amy.sees('my secret plan');
    await amy.page.getByRole('button', { name: 'Log out' }).click();
    await amy.state('login');
    await bob.online(1);
    assert.equal(await amy.page.getByText('my secret plan').count(), 0);
    assert.equal(await amy.page.evaluate(() => window.sessionStorage.length), 0);
    await amy.page.reload();
    await amy.state('login');
  }),
);

test('Enter during an input method composition sends nothing', LIMIT, () =>
  withServer(async ({ guest }) => {
    const amy = await guest('amy');
    await amy.page.getByLabel('Your message').fill('你好');
    await amy.page.evaluate(() => {
      const composing = new KeyboardEvent('keydown', { key: 'Enter', isComposing: true, bubbles: true, cancelable: true });
      document.activeElement.dispatchEvent(composing);
    });
    assert.equal(await amy.page.getByLabel('Your message').inputValue(), '你好');
    assert.deepEqual(await amy.sayings(), []);
    await amy.page.keyboard.press('Shift+Enter');
    await amy.page.keyboard.type('second line');
    await amy.page.keyboard.press('Enter');
    await amy.sees('second line');
    assert.deepEqual(await amy.sayings(), ['你好\nsecond line']);
  }),
);

test('简体中文, dark, on a phone: everything is reachable', LIMIT, () =>
  withServer(async ({ guest, visitor }) => {
    await guest('bob');
    const mei = await visitor({ locale: 'zh-CN', colorScheme: 'dark', viewport: { width: 360, height: 640 } });
    await mei.state('login');
    await mei.page.getByRole('button', { name: 'English' }).click();
    await mei.register('mei');
    await mei.page.getByRole('button', { name: '简体中文' }).click();
    await mei.page.getByRole('heading', { name: '大厅' }).waitFor();
    const fits = () => mei.page.evaluate(() => document.documentElement.scrollWidth <= window.innerWidth);
    assert.ok(await fits());

    await mei.page.locator('#tabs').getByRole('button', { name: '在线' }).click();
    await mei.person('bob').click();
    await mei.page.getByRole('heading', { name: 'bob' }).waitFor();
    await mei.page.getByLabel('消息内容').fill('很长的一句话，'.repeat(40));
    await mei.page.getByRole('button', { name: '发送' }).click();
    await mei.sees('很长的一句话');
    assert.ok(await fits());
    assert.equal(await mei.page.evaluate(() => document.documentElement.lang), 'zh-CN');
  }),
);

// SCREENSHOT=1 takes the picture of the README again.
if (process.env.SCREENSHOT) {
  test('a picture for the README', LIMIT, () =>
    withServer(async ({ server, visitor }) => {
      const tabs = {};
      for (const [name, nickname] of [['amy', 'Amy'], ['bob', 'Bob'], ['mei', '林小美'], ['jonas', 'Jonas']]) {
        const { token } = await server.register(name);
        await server.call('PUT', '/api/auth/me', { token, body: { profile: { nickname } } });
        tabs[name] = await visitor({ viewport: { width: 1200, height: 720 }, deviceScaleFactor: 2 });
        await tabs[name].login(name, PASSWORD);
        await tabs[name].state('live');
      }
      const { amy, bob, mei, jonas } = tabs;
      const saying = async (tab, text) => {
        await tab.say(text);
        await amy.sees(text);
      };
      await saying(bob, 'Good morning! Is the new release out already?');
      await saying(mei, '早上好！刚刚发布了。');
      await saying(mei, 'I updated our forum an hour ago, and nobody noticed. Just as it should be.');
      await saying(amy, 'I refreshed the page ten times and bob still thinks I never left.');
      await saying(jonas, 'Which is the whole point, I am told.');
      await saying(bob, 'The kettle is on, by the way.');
      await saying(amy, 'Oolong for me, please.');

      for (const [tab, text] of [[jonas, 'Can you look at my draft?'], [mei, '晚上一起喝茶吗？']]) {
        await tab.person('Amy').click();
        await tab.say(text);
        await amy.page.locator('#conversations').getByText(text).waitFor();
      }
      await amy.online(4);
      await amy.person('Jonas').waitFor();
      await amy.page.locator('.toast').first().waitFor({ state: 'detached' });
      await amy.page.locator('.toast').first().waitFor({ state: 'detached' });
      mkdirSync(join(root, 'docs/images'), { recursive: true });
      await amy.page.screenshot({ path: join(root, 'docs/images/first-page.png') });
    }),
  );
}
