# Example usage with the "llama" model
messages = [
    {"role": "user", "content": "Hello, how are you?"}
]

async def main():
    async with AutonomousAI.create_async_generator(model="llama", messages=messages) as result:
        async for chunk in result:
            print(chunk)

if __name__ == "__main__":
    asyncio.run(main())
