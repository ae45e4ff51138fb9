import { Anchor, FileInput, Group, Image, NativeSelect, NumberInput, SimpleGrid, Textarea } from '@mantine/core'
import { useRef, useState } from 'react'

import { editImage, generateImages } from '../api/images'
import type { Instance } from '../api/instances'
import { useI18n } from '../i18n'
import { MaskPainter } from './MaskPainter'
import type { Mask } from './MaskPainter'
import { PaneForm } from './PaneForm'
import { useCall } from './useCall'

/** `auto` is the model's own, or that of the picture given. */
const SIZES = ['auto', '256x256', '512x512', '768x768', '1024x1024', '1024x1536', '1536x1024']

/** A picture from a text; with a picture given, that one drawn anew, or what is painted of it. */
export default function ImagePane({ instance }: { instance: Instance }) {
  const { t } = useI18n()
  const [prompt, setPrompt] = useState('')
  const [size, setSize] = useState('auto')
  const [count, setCount] = useState(1)
  const [image, setImage] = useState<File | null>(null)
  const mask = useRef<Mask>(null)
  const [painted, setPainted] = useState(false)
  const call = useCall<string[]>()
  const body = { model: instance.model_uid, prompt, n: count, size }
  const edits = instance.model_ability.some((one) => one !== 'text2image' && one !== 'ocr')
  const request = image
    ? {
        path: 'images/edits',
        body: { ...body, image: 'image.png', ...(painted ? { mask: 'mask.png' } : {}) },
        files: ['image', 'mask'],
      }
    : { path: 'images/generations', body: { ...body, response_format: 'b64_json' } }

  async function draw(signal: AbortSignal): Promise<string[]> {
    if (!image) return generateImages(body, signal)
    return editImage(body, image, (await mask.current?.read()) ?? null, signal)
  }

  return (
    <>
      <PaneForm
        {...call}
        request={request}
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
        <Group>
          <NativeSelect
            label={t('image.size')}
            data={SIZES}
            value={size}
            onChange={(event) => setSize(event.currentTarget.value)}
          />
          <NumberInput
            label={t('image.count')}
            value={count}
            onChange={(value) => setCount(Number(value) || 1)}
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
              value={image}
              onChange={(file) => {
                setImage(file)
                setPainted(false)
              }}
              clearable
              clearButtonProps={{ 'aria-label': t('image.source.remove') }}
              flex={1}
              miw={200}
            />
          )}
        </Group>
        {image && <MaskPainter ref={mask} image={image} onPaint={setPainted} />}
      </PaneForm>
      {call.result && (
        <SimpleGrid cols={{ base: 1, sm: 2 }}>
          {call.result.map((url, index) => (
            <div key={index}>
              <Image src={url} alt={prompt} radius="md" />
              <Anchor href={url} download={`picture-${index + 1}.png`} fz="sm">
                {t('image.save')}
              </Anchor>
            </div>
          ))}
        </SimpleGrid>
      )}
    </>
  )
}
