import { Group, Progress, Text } from '@mantine/core'

interface Props {
  label: string
  /** What it measures, in full: for who does not see where it stands. */
  name: string
  /** From 0 to 1. */
  value: number
  text: string
}

const NEARLY_FULL = 0.9

export function Meter({ label, name, value, text }: Props) {
  return (
    <div>
      <Group justify="space-between" mb={2}>
        <Text fz="sm">{label}</Text>
        <Text fz="sm" c="dimmed">
          {text}
        </Text>
      </Group>
      <Progress value={value * 100} color={value > NEARLY_FULL ? 'orange' : undefined} aria-label={name} />
    </div>
  )
}
