// Uses of the types. Nothing runs: the test is that this compiles.

import { CLOSE_CODES, CloseCode, ERROR_CODES } from './protocol.js';
import type { AckData, ClientEnvelope, Change, ErrorCode, RequestData, Routes, ServerEnvelope } from './protocol.js';

/** The type tells envelopes apart; an envelope without a case does not compile. */
export function summary(envelope: ServerEnvelope): string {
  switch (envelope.type) {
    case 'welcome':
      return envelope.data.rooms.map((room) => `${room.title || room.name} (${room.peer?.nickname ?? room.kind})`).join();
    case 'catch_up':
      return envelope.data.reset ? 'reset' : `from ${envelope.data.from}`;
    case 'caught_up':
      return `${envelope.data.version} ${envelope.data.my_reactions['81']?.join() ?? ''}`;
    case 'message':
      return `${envelope.data.sender.nickname}: ${envelope.data.content}${change(envelope.data.change)}`;
    case 'change':
      return `${envelope.data.id} ${envelope.data.change.emoji} ${envelope.data.reactions['👍'] ?? 0}`;
    case 'read':
      return `${envelope.data.user} ${envelope.data.seq}`;
    case 'typing':
      return envelope.data.users.join();
    case 'presence':
      return envelope.data.refresh ? 'ask again' : `${envelope.data.online.length} came`;
    case 'online_count':
      return `${envelope.data.count}`;
    case 'room':
      return `${envelope.data.kind} ${envelope.data.members}`;
    case 'invited':
      return `${envelope.data.inviter.nickname} invites you to ${envelope.data.room.name}`;
    case 'removed':
      return `${envelope.data.room}`;
    case 'user':
      return envelope.data.username;
    case 'system':
      return envelope.data.code;
    case 'goodbye':
      return `${envelope.data.reason} ${envelope.data.retry_ms}`;
    case 'ack':
      return envelope.id ?? '';
    case 'error':
      return ERROR_CODES[envelope.data.code].retryHelps ? `again in ${envelope.data.retry_after_ms ?? 0}` : 'no';
    default:
      return envelope satisfies never;
  }
}

function change(change: Change | undefined): string {
  return change?.kind === 'edit' ? `edited by ${change.user}` : (change?.kind ?? '');
}

/** A request and its response belong together. */
export declare function request<Type extends keyof AckData>(type: Type, data: RequestData[Type]): Promise<AckData[Type]>;

export async function say(room: number, content: string): Promise<number> {
  const { seq, duplicate } = await request('message', { room, content, client_id: 'c-1' });
  // @ts-expect-error A message has no unread count.
  (await request('message', { room, content, client_id: 'c-1' })).unread;
  // @ts-expect-error A message needs a client_id.
  await request('message', { room, content });
  return duplicate ? 0 : seq;
}

export const hello: ClientEnvelope = { type: 'hello', id: '1', data: { epoch: 'k3f', rooms: [{ room: 1, version: 2 }] } };
// @ts-expect-error There is no request of this type.
export const nonsense: ClientEnvelope = { type: 'nonsense', data: {} };
// @ts-expect-error There is no such code.
export const code: ErrorCode = 'teapot';
export const isForever: boolean = !CLOSE_CODES[CloseCode.Displaced].reconnect;

/** A route, its body and its response belong together. */
export declare function call<Route extends keyof Routes>(
  route: Route,
  body: Routes[Route]['body'],
): Promise<Routes[Route]['data']>;

export async function createRoom(name: string): Promise<number> {
  // @ts-expect-error A room needs a name.
  await call('POST /api/v1/rooms', { kind: 'public' });
  return (await call('POST /api/v1/rooms', { kind: 'public', name })).id;
}
