import { afterEach, expect, it, vi } from 'vitest'

vi.stubGlobal('localStorage', { getItem: () => null })
vi.stubGlobal('document', { baseURI: 'http://server/below/' })

const { IncompleteAnswerError, streamChat } = await import('./chat')
const { ApiError, UnreachableError } = await import('./http')

const fetchMock = vi.fn<typeof fetch>()
vi.stubGlobal('fetch', fetchMock)
afterEach(() => fetchMock.mockReset())

async function contentOf(response: Response): Promise<string> {
  fetchMock.mockResolvedValueOnce(response)
  let content = ''
  for await (const delta of streamChat({ model: 'm', messages: [] }, new AbortController().signal)) {
    content += delta.content
  }
  return content
}

const chunk = (content: string) => `data: {"choices":[{"delta":{"content":"${content}"}}]}\n\n`

it('asks below the address of the page, and gives the answer in pieces', async () => {
  expect(await contentOf(new Response(`${chunk('a')}${chunk('b')}data: [DONE]\n\n`))).toBe('ab')
  expect(String(fetchMock.mock.calls[0]?.[0])).toBe('http://server/below/v1/chat/completions')
})

it('tells an answer that was cut off from a complete one', async () => {
  await expect(contentOf(new Response(chunk('a')))).rejects.toBeInstanceOf(IncompleteAnswerError)
})

it('throws the error that the stream carries', async () => {
  const body = `${chunk('a')}data: {"error":{"message":"the replica is gone"}}\n\n`
  await expect(contentOf(new Response(body))).rejects.toThrow('the replica is gone')
})

it('throws the message and the status of a refusal', async () => {
  const refusal = Response.json({ error: { message: 'full' }, detail: 'full' }, { status: 503 })
  const error = await contentOf(refusal).catch((reason: unknown) => reason)
  expect(error).toBeInstanceOf(ApiError)
  expect(error).toMatchObject({ message: 'full', status: 503 })
})

it('says that nobody answered', async () => {
  fetchMock.mockRejectedValueOnce(new TypeError('Failed to fetch'))
  const answer = streamChat({ model: 'm', messages: [] }, new AbortController().signal)
  await expect(answer.next()).rejects.toBeInstanceOf(UnreachableError)
})
