import { Drawer, Text } from '@mantine/core'

import { useI18n } from '../i18n'
import { LaunchForm } from './LaunchForm'

interface Props {
  /** Null while nothing is being configured. */
  model: string | null
  description: string | null | undefined
  onClose: () => void
}

export function LaunchDrawer({ model, description, onClose }: Props) {
  const { t } = useI18n()
  return (
    <Drawer
      opened={model !== null}
      onClose={onClose}
      position="right"
      size="lg"
      title={model}
      closeButtonProps={{ 'aria-label': t('close') }}
      styles={{ title: { fontWeight: 700, overflowWrap: 'anywhere' } }}
    >
      {description && (
        <Text c="dimmed" fz="sm" mb="md">
          {description}
        </Text>
      )}
      {model !== null && <LaunchForm key={model} model={model} />}
    </Drawer>
  )
}
