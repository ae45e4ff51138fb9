import { describe, expect, it } from 'vitest'

import { readEvents } from './sse'

function streamOf(...chunks: (string | Uint8Array)[]): ReadableStream<Uint8Array> {
  const encoder = new TextEncoder()
  return new ReadableStream({
    start(controller) {
      for (const chunk of chunks) {
        controller.enqueue(typeof chunk === 'string' ? encoder.encode(chunk) : chunk)
      }
      controller.close()
    },
  })
}

async function eventsOf(...chunks: (string | Uint8Array)[]): Promise<string[]> {
  const events: string[] = []
  for await (const event of readEvents(streamOf(...chunks))) events.push(event)
  return events
}

describe('readEvents', () => {
  it('yields one item an event, however the bytes are cut', async () => {
    const text = 'data: {"a":1}\n\ndata: two\n\ndata: [DONE]\n\n'
    const bytes = new TextEncoder().encode(text)
    const single = Array.from(bytes, (byte) => Uint8Array.of(byte))
    expect(await eventsOf(text)).toEqual(['{"a":1}', 'two', '[DONE]'])
    expect(await eventsOf(...single)).toEqual(['{"a":1}', 'two', '[DONE]'])
  })

  it('keeps a character whose bytes arrive apart', async () => {
    const bytes = new TextEncoder().encode('data: 你好\n\n')
    expect(await eventsOf(bytes.slice(0, 8), bytes.slice(8))).toEqual(['你好'])
  })

  it('skips comments and other fields', async () => {
    expect(await eventsOf(': ping\n\nevent: x\nid: 7\ndata: kept\n\n')).toEqual(['kept'])
  })

  it('accepts CRLF, a missing space and data of several lines', async () => {
    expect(await eventsOf('data:a\r\ndata:  b\r\n\r\n')).toEqual(['a\n b'])
  })

  it('drops an event that was cut off', async () => {
    expect(await eventsOf('data: whole\n\ndata: hal')).toEqual(['whole'])
  })

  it('cancels the stream when the reader leaves', async () => {
    let cancelled = false
    const body = new ReadableStream<Uint8Array>({
      pull: (controller) => controller.enqueue(new TextEncoder().encode('data: x\n\n')),
      cancel: () => {
        cancelled = true
      },
    })
    for await (const event of readEvents(body)) {
      expect(event).toBe('x')
      break
    }
    expect(cancelled).toBe(true)
  })
})
