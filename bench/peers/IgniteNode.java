import java.util.Collections;

import org.apache.ignite.Ignition;
import org.apache.ignite.configuration.ClientConnectorConfiguration;
import org.apache.ignite.configuration.DataRegionConfiguration;
import org.apache.ignite.configuration.DataStorageConfiguration;
import org.apache.ignite.configuration.IgniteConfiguration;
import org.apache.ignite.spi.communication.tcp.TcpCommunicationSpi;
import org.apache.ignite.spi.discovery.tcp.TcpDiscoverySpi;
import org.apache.ignite.spi.discovery.tcp.ipfinder.vm.TcpDiscoveryVmIpFinder;

/** One Ignite node on loopback, in memory only: java IgniteNode.java FIRST_DISCOVERY_PORT DISCOVERY_PORT CLIENT_PORT. */
public class IgniteNode {
    public static void main(String[] args) {
        int first = Integer.parseInt(args[0]);
        int discovery = Integer.parseInt(args[1]);
        int client = Integer.parseInt(args[2]);
        TcpDiscoveryVmIpFinder finder = new TcpDiscoveryVmIpFinder();
        finder.setAddresses(Collections.singletonList("127.0.0.1:" + first));
        DataRegionConfiguration region = new DataRegionConfiguration();
        region.setName("default").setInitialSize(256L << 20).setMaxSize(512L << 20);
        Ignition.start(new IgniteConfiguration()
            .setIgniteInstanceName("node-" + discovery)
            .setLocalHost("127.0.0.1")
            .setMetricsLogFrequency(0)
            .setDiscoverySpi(new TcpDiscoverySpi().setLocalPort(discovery).setLocalPortRange(0).setIpFinder(finder))
            .setCommunicationSpi(new TcpCommunicationSpi().setLocalPort(discovery + 2).setLocalPortRange(0))
            .setDataStorageConfiguration(new DataStorageConfiguration().setDefaultDataRegionConfiguration(region))
            .setConnectorConfiguration(null)
            .setClientConnectorConfiguration(
                new ClientConnectorConfiguration().setHost("127.0.0.1").setPort(client).setPortRange(0)));
        System.out.println("READY");
    }
}
