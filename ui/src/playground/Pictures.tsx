import { Anchor, Button, Group, SimpleGrid, Text } from '@mantine/core'

import type { Drawn } from '../api/images'
import { useI18n } from '../i18n'
import classes from './Pictures.module.css'

interface Props {
  pictures: Drawn[]
  /** What they show, for who does not see them. */
  prompt: string
  /** Takes one as the picture to change; null where the model changes none. */
  onChange: ((picture: Drawn) => void) | null
}

export function Pictures({ pictures, prompt, onChange }: Props) {
  const { t } = useI18n()
  return (
    <SimpleGrid cols={{ base: 1, xs: Math.min(2, pictures.length) }}>
      {pictures.map((picture, index) => (
        <div key={index}>
          <img src={picture.url} alt={prompt} className={classes.picture} />
          <Group gap="sm" mt={4}>
            <Anchor href={picture.url} download={`picture-${index + 1}.png`} fz="sm">
              {t('image.save')}
            </Anchor>
            {onChange && (
              <Button variant="subtle" size="compact-sm" onClick={() => onChange(picture)}>
                {t('image.change')}
              </Button>
            )}
            {picture.seed !== null && (
              <Text fz="sm" c="dimmed">
                {t('image.seed', { seed: picture.seed })}
              </Text>
            )}
          </Group>
        </div>
      ))}
    </SimpleGrid>
  )
}
