import { afterEach, expect, it, vi } from 'vitest'

vi.stubGlobal('localStorage', { getItem: () => null })
vi.stubGlobal('document', { baseURI: 'http://server/' })

const { speak, transcribe } = await import('./audio')
const { editImage, generateImages } = await import('./images')

const fetchMock = vi.fn<typeof fetch>()
vi.stubGlobal('fetch', fetchMock)
afterEach(() => fetchMock.mockReset())

const { signal } = new AbortController()
const BODY = { model: 'm', prompt: 'a cat', n: 1, size: '64x64' }

/** The request that was made: its address, and its body as fields. */
function sent(): [string, Record<string, unknown>] {
  const [url, init] = fetchMock.mock.calls[0] ?? []
  const body = init?.body
  const fields = body instanceof FormData ? Object.fromEntries(body) : JSON.parse(String(body))
  return [String(url), fields as Record<string, unknown>]
}

it('asks for pictures in base64, and shows what came by its kind', async () => {
  fetchMock.mockResolvedValueOnce(
    Response.json({ data: [{ b64_json: 'iVBORw0' }, { b64_json: '/9j/4AA' }] }),
  )
  expect(await generateImages(BODY, signal)).toEqual([
    'data:image/png;base64,iVBORw0',
    'data:image/jpeg;base64,/9j/4AA',
  ])
  expect(sent()).toEqual([
    'http://server/v1/images/generations',
    { ...BODY, response_format: 'b64_json' },
  ])
})

it('sends a picture and its mask as files of a form', async () => {
  fetchMock.mockResolvedValueOnce(Response.json({ data: [{ b64_json: 'iVBORw0' }] }))
  await editImage(BODY, new Blob(['picture']), new Blob(['mask']), signal)
  const [url, { image, mask, ...fields }] = sent()
  expect(url).toBe('http://server/v1/images/edits')
  expect(fields).toEqual({ ...BODY, n: '1', response_format: 'b64_json' })
  expect(await (image as File).text()).toBe('picture')
  expect(await (mask as File).text()).toBe('mask')
})

it('sends no mask where none was painted', async () => {
  fetchMock.mockResolvedValueOnce(Response.json({ data: [] }))
  expect(await editImage(BODY, new Blob(['picture']), null, signal)).toEqual([])
  expect(sent()[1]).not.toHaveProperty('mask')
})

it('has a sound written down', async () => {
  fetchMock.mockResolvedValueOnce(Response.json({ text: 'hello' }))
  expect(await transcribe({ model: 'm', language: 'en' }, new Blob(['wave']), signal)).toBe('hello')
  const [url, { file, ...fields }] = sent()
  expect(url).toBe('http://server/v1/audio/transcriptions')
  expect(fields).toEqual({ model: 'm', language: 'en', response_format: 'json' })
  expect((file as File).name).toBe('audio.wav')
})

it('has a text spoken', async () => {
  fetchMock.mockResolvedValueOnce(new Response('sound', { headers: { 'Content-Type': 'audio/wav' } }))
  const audio = await speak({ model: 'm', input: 'hello', voice: '' }, signal)
  expect([audio.type, await audio.text()]).toEqual(['audio/wav', 'sound'])
  expect(sent()).toEqual(['http://server/v1/audio/speech', { model: 'm', input: 'hello', voice: '' }])
})

it('tells of a refusal', async () => {
  fetchMock.mockResolvedValueOnce(
    Response.json({ error: { message: 'no such voice' } }, { status: 400 }),
  )
  await expect(speak({ model: 'm' }, signal)).rejects.toThrow('no such voice')
})
