import { FileInput, Group, NativeSelect, NumberInput, Textarea } from '@mantine/core'
import { useRef, useState } from 'react'

import { editImage, generateImages } from '../api/images'
import type { Drawn } from '../api/images'
import type { Instance } from '../api/instances'
import { useEngineDetails } from '../api/queries'
import { useI18n } from '../i18n'
import { DEFAULTS, toFields } from './image-settings'
import { ImageSettingsPanel } from './ImageSettingsPanel'
import { MaskPainter } from './MaskPainter'
import type { Mask } from './MaskPainter'
import { PaneForm } from './PaneForm'
import { Pictures } from './Pictures'
import { useCall } from './useCall'

const SIZES = ['256x256', '512x512', '768x768', '1024x1024', '1024x1536', '1536x1024']

/** A picture from a text; with a picture given, that one drawn anew, or what is painted of it. */
export default function ImagePane({ instance }: { instance: Instance }) {
  const { t } = useI18n()
  const { data: details = {} } = useEngineDetails(instance)
  const [prompt, setPrompt] = useState('')
  const [settings, setSettings] = useState(DEFAULTS)
  const [source, setSource] = useState<{ image: File; number: number } | null>(null)
  const [painted, setPainted] = useState(false)
  const mask = useRef<Mask>(null)
  const call = useCall<{ prompt: string; pictures: Drawn[] }>()
  const abilities = instance.model_ability
  const inpaints = abilities.includes('inpainting')
  const edits = inpaints || abilities.includes('image2image')
  const image = source?.image
  const body = { model: instance.model_uid, prompt, ...toFields(settings, Boolean(image)) }
  const change = (changes: Partial<typeof settings>) => setSettings({ ...settings, ...changes })

  function take(file: File | null) {
    setSource((before) => file && { image: file, number: (before?.number ?? 0) + 1 })
    setPainted(false)
  }

  async function draw(signal: AbortSignal, id: string) {
    const pictures = image
      ? await editImage(body, image, (await mask.current?.read()) ?? null, signal, id)
      : await generateImages(body, signal, id)
    return { prompt, pictures }
  }

  const told = { ...body, response_format: 'b64_json' }
  const files = { image: 'image.png', ...(painted ? { mask: 'mask.png' } : {}) }
  return (
    <>
      <PaneForm
        {...call}
        progress
        request={
          image
            ? { path: 'images/edits', body: { ...told, ...files }, files: Object.keys(files) }
            : { path: 'images/generations', body: told }
        }
        submit={t('image.submit')}
        disabled={!prompt.trim()}
        onSubmit={() => call.start(draw)}
        onStop={call.stop}
      >
        <Textarea
          label={t('image.prompt')}
          value={prompt}
          onChange={(event) => setPrompt(event.currentTarget.value)}
          autosize
          minRows={2}
          maxRows={8}
        />
        <Group align="flex-start">
          <NativeSelect
            label={t('image.size')}
            data={[{ value: 'auto', label: ownSize(t, details.size, Boolean(image)) }, ...SIZES]}
            value={settings.size}
            onChange={(event) => change({ size: event.currentTarget.value })}
          />
          <NumberInput
            label={t('image.count')}
            value={settings.count}
            onChange={(value) => change({ count: Number(value) || 1 })}
            min={1}
            max={10}
            allowDecimal={false}
            w={120}
          />
          {edits && (
            <FileInput
              label={t('image.source')}
              placeholder={t('image.choose')}
              accept="image/png,image/jpeg,image/webp"
              value={image ?? null}
              onChange={take}
              clearable
              clearButtonProps={{ 'aria-label': t('image.source.remove') }}
              flex={1}
              miw={200}
            />
          )}
        </Group>
        {source && inpaints && (
          <MaskPainter key={source.number} ref={mask} image={source.image} onPaint={setPainted} />
        )}
        <ImageSettingsPanel
          settings={settings}
          details={details}
          edits={Boolean(image)}
          onChange={change}
        />
      </PaneForm>
      {call.result && (
        <Pictures
          {...call.result}
          onChange={edits ? (picture) => take(toFile(picture)) : null}
        />
      )}
    </>
  )
}

/** What `auto` comes to: the size of the picture given, or the model's own. */
function ownSize(t: ReturnType<typeof useI18n>['t'], size: [number, number] | undefined, edits: boolean) {
  if (edits) return t('image.size.given')
  return size ? t('image.size.own', { width: size[0], height: size[1] }) : t('image.size.auto')
}

function toFile({ url }: Drawn): File {
  const [head = '', base64 = ''] = url.split(',')
  const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0))
  return new File([bytes], 'picture.png', { type: /^data:([^;]*)/.exec(head)?.[1] })
}
