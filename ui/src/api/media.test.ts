import { afterEach, expect, it, vi } from 'vitest'

vi.stubGlobal('localStorage', { getItem: () => null })
vi.stubGlobal('document', { baseURI: 'http://server/' })

const { speak, transcribe } = await import('./audio')
const { editImage, generateImages } = await import('./images')
const { getRequestProgress } = await import('./progress')

const fetchMock = vi.fn<typeof fetch>()
vi.stubGlobal('fetch', fetchMock)
afterEach(() => fetchMock.mockReset())

const { signal } = new AbortController()
const ID = 'a-name'
const BODY = { model: 'm', prompt: 'a cat', n: 1, size: '64x64' }

/** The request that was made: its address, and its body as fields. It has to have its name. */
function sent(): [string, Record<string, unknown>] {
  const [url, init] = fetchMock.mock.calls[0] ?? []
  const body = init?.body
  expect(new Headers(init?.headers).get('X-Request-Id')).toBe(ID)
  const fields = body instanceof FormData ? Object.fromEntries(body) : JSON.parse(String(body))
  return [String(url), fields as Record<string, unknown>]
}

it('asks for pictures in base64, and shows what came by its kind', async () => {
  fetchMock.mockResolvedValueOnce(
    Response.json({ data: [{ b64_json: 'iVBORw0', seed: 7 }, { b64_json: '/9j/4AA' }] }),
  )
  expect(await generateImages(BODY, signal, ID)).toEqual([
    { url: 'data:image/png;base64,iVBORw0', seed: 7 },
    { url: 'data:image/jpeg;base64,/9j/4AA', seed: null },
  ])
  expect(sent()).toEqual([
    'http://server/v1/images/generations',
    { ...BODY, response_format: 'b64_json' },
  ])
})

it('sends a picture and its mask as files of a form', async () => {
  fetchMock.mockResolvedValueOnce(Response.json({ data: [{ b64_json: 'iVBORw0' }] }))
  await editImage(BODY, new Blob(['picture']), new Blob(['mask']), signal, ID)
  const [url, { image, mask, ...fields }] = sent()
  expect(url).toBe('http://server/v1/images/edits')
  expect(fields).toEqual({ ...BODY, n: '1', response_format: 'b64_json' })
  expect(await (image as File).text()).toBe('picture')
  expect(await (mask as File).text()).toBe('mask')
})

it('sends no mask where none was painted', async () => {
  fetchMock.mockResolvedValueOnce(Response.json({ data: [] }))
  expect(await editImage(BODY, new Blob(['picture']), null, signal, ID)).toEqual([])
  expect(sent()[1]).not.toHaveProperty('mask')
})

it('has a sound written down, as the file that it is', async () => {
  fetchMock.mockResolvedValueOnce(Response.json({ text: 'hello' }))
  const body = { model: 'm', language: 'en', response_format: 'json' }
  const file = new File(['wave'], 'speech.ogg')
  expect(await transcribe('audio/transcriptions', body, file, signal, ID)).toEqual({ text: 'hello' })
  const [url, { file: given, ...fields }] = sent()
  expect(url).toBe('http://server/v1/audio/transcriptions')
  expect(fields).toEqual(body)
  expect((given as File).name).toBe('speech.ogg')
})

it('has a text spoken', async () => {
  fetchMock.mockResolvedValueOnce(new Response('sound', { headers: { 'Content-Type': 'audio/wav' } }))
  const audio = await speak({ model: 'm', input: 'hello', voice: '' }, signal, ID)
  expect([audio.type, await audio.text()]).toEqual(['audio/wav', 'sound'])
  expect(sent()).toEqual(['http://server/v1/audio/speech', { model: 'm', input: 'hello', voice: '' }])
})

it('tells of a refusal', async () => {
  fetchMock.mockResolvedValueOnce(
    Response.json({ error: { message: 'no such voice' } }, { status: 400 }),
  )
  await expect(speak({ model: 'm' }, signal, ID)).rejects.toThrow('no such voice')
})

it('knows of no progress before the server does', async () => {
  fetchMock.mockResolvedValueOnce(Response.json({ progress: 0.5 }))
  expect(await getRequestProgress(ID)).toBe(0.5)
  fetchMock.mockResolvedValueOnce(Response.json({ detail: 'no request' }, { status: 404 }))
  expect(await getRequestProgress(ID)).toBeNull()
  fetchMock.mockResolvedValueOnce(Response.json({ detail: 'broken' }, { status: 500 }))
  await expect(getRequestProgress(ID)).rejects.toThrow('broken')
})
