import { Title } from '@mantine/core'
import type { ReactNode } from 'react'

export function PageTitle({ children }: { children: ReactNode }) {
  return (
    <Title order={1} fz="h2">
      {children}
    </Title>
  )
}
